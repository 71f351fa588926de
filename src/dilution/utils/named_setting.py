"""Settings that are a name with parameters in one text, such as ``cosine(warmup=0.05)``."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from dilution.errors import DilutionError, InputError, invalid, short_repr, unknown
from dilution.utils.named_call import format_call, parse_call
from dilution.utils.references import describe_exception, is_reference, resolve, source_digest

S = TypeVar("S", bound="NamedSetting")


class NamedSetting(BaseModel):
    """A setting with a name and parameters. Equal ones have the same :attr:`text`, which identifies runs.

    Attributes
    ----------
    kind
        Name of the setting that it is a value of: ``"loss"``.
    name
        Its own name: ``"gce"``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    kind: ClassVar[str]
    name: ClassVar[str]

    if not TYPE_CHECKING:  # a checker of types knows the parameters

        def __init__(self, **parameters: Any) -> None:
            """Create the setting; a parameter that breaks its rule is an InputError."""
            names, kind = type(self).model_fields, self.kind
            for name in parameters:
                if name not in names and not names:
                    raise InputError(
                        f"{kind} {self.name!r} has no parameter {short_repr(name)}, nor any other. Give "
                        f"{kind}={self.name!r}."
                    )
                if name not in names:
                    what = f"parameter of this {title(kind)}"
                    raise InputError(f"{kind} {self.name!r}: {unknown(what, name, names)}")
            try:
                super().__init__(**parameters)
            except ValidationError as error:
                ranges = [_out_of_range(dict(details), type(self)) for details in error.errors()]
                message = str(invalid(error, names)) if None in ranges else " ".join(filter(None, ranges))
                raise InputError(f"{kind} {self.name!r}: {message}") from None

        __init__.__pydantic_base_init__ = True  # so that validation does not call it

    @property
    def text(self) -> str:
        """Canonical text: name and parameters, those with default values left out."""
        fields = type(self).model_fields.items()
        values = {name: getattr(self, name) for name, field in fields}
        return format_call(
            self.name, {name: values[name] for name, field in fields if values[name] != field.default}
        )

    @property
    def signature(self) -> str:
        """Names and values of all parameters: ``"q=0.7"``; of a matrix that is not given only the name."""
        values = [(name, getattr(self, name)) for name in type(self).model_fields]
        return ", ".join(name if value is None else f"{name}={value!r}" for name, value in values)

    def __str__(self) -> str:
        return self.text


_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def _out_of_range(details: dict[str, Any], setting: type[NamedSetting]) -> str | None:
    """Return the message for a number out of its range, with the whole range; None for another finding."""
    place = details["loc"]
    if len(place) != 1 or not details["type"].startswith(("greater_than", "less_than")):
        return None
    field = setting.model_fields[place[0]]
    bounds = [
        f"{word} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, word in _BOUNDS.items()
        if hasattr(rule, name)
    ]
    default = (
        "" if field.is_required() else f" {setting.kind}={setting.name!r} has {place[0]}={field.default}."
    )
    return f"{place[0]} is {short_repr(details['input'])}; it must be {' and '.join(bounds)}.{default}"


_TITLES = {"early_stopping": "rule of early stopping"}


def title(kind: str) -> str:
    """Return what a value of a setting is called in messages: that of most settings by their names."""
    return _TITLES.get(kind, kind)


def text_of(value: object, kind: type[NamedSetting], examples: tuple[str, str]) -> str:
    """Return the text of a setting that is given as text or as an object.

    Parameters
    ----------
    value
        The setting. An object is taken by its text, which runs keep, so one that has no name is refused.
    kind
        Class of such objects.
    examples
        A name, and a name with parameters, for the message.

    Raises
    ------
    InputError
        If it is neither.
    """
    if isinstance(value, kind):
        return value.text
    if not isinstance(value, str):
        named = title(kind.kind)
        article = "an" if named[0] in "aeio" else "a"
        raise InputError(
            f"{kind.kind} is {short_repr(value)}; it must be a name, such as {examples[0]!r} or "
            f"{examples[1]!r}, or 'module:factory' of {article} {named} of your own."
        )
    return value


def named(text: str, kind: str, built_in: Mapping[str, type[S]], custom: Callable[..., S]) -> S:
    """Return the setting of a text; a function of the user, ``module:name``, is not imported.

    Parameters
    ----------
    text
        ``"gce"``, ``"gce(q=0.3)"``, ``"module:factory(beta=2)"``.
    kind
        Name of the setting.
    built_in
        Classes of the built-in ones by name.
    custom
        Class of those of the user, which takes `reference` and `parameters`.

    Raises
    ------
    InputError
        If there is none of this name, or a parameter breaks its rule.
    """
    name, parameters = parse_call(text, kind)
    if name in built_in:
        return built_in[name](**parameters)
    if is_reference(name):
        return custom(reference=name, parameters=parameters)
    raise unknown(title(kind), name, built_in)


class OwnSetting(NamedSetting):
    """A setting by a function of the user: ``module:name(parameters)``.

    Parameters
    ----------
    reference
        ``module:name``.
    parameters
        Parameters in brackets, which the function gets by name.
    """

    name: ClassVar[str] = "own"

    reference: str
    parameters: dict[str, Any]

    @property
    def text(self) -> str:
        """Canonical text: the reference and all its parameters."""
        return format_call(self.reference, self.parameters)

    @property
    def digest(self) -> str:
        """SHA-256 of the source file of the function."""
        return source_digest(self.reference, self.kind)

    def function(self) -> Callable[..., Any]:
        """Import and return the function.

        Raises
        ------
        InputError
            If there is none of this name.
        """
        function: Callable[..., Any] = resolve(self.reference, self.kind)
        return function

    def call(self, function: Callable[..., Any], *arguments: Any, shown: str, rule: str) -> Any:
        """Call the function with arguments and the parameters, and return what it returns.

        Parameters
        ----------
        function
            The function.
        arguments
            Arguments before the parameters.
        shown
            These arguments in an error.
        rule
            What the function must be, for an error.

        Raises
        ------
        InputError
            If it raises.
        """
        try:
            return function(*arguments, **self.parameters)
        except DilutionError:
            raise
        except Exception as error:
            given = "".join(f", {name}={value!r}" for name, value in self.parameters.items())
            raise InputError(
                f"{self.kind} is {self.text!r}; called as {self.reference.partition(':')[2]}({shown}{given}) "
                f"it raised {describe_exception(error)}. Rule: {rule}."
            ) from error
