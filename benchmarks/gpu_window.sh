#!/bin/bash
# What a short time on a lent GPU gives, the most valuable first; the next time goes on where this one stopped.
#
# First what of a figure is not steps, then figures at paper scale until MINUTES are over. Tests of the kernels and their times
# follow if time is left; else in a second call within 30 s, while the machine is still held: KEEP=1 STEPS="tests kernels".
# The folder FOLDER is for work: logs, the store, checkpoints, pages. The folder RESULTS gets what is worth taking home, and nothing else:
#   runs.csv.gz       the runs. Import them into a store of your own: `dilution import runs.csv.gz --store results/mnist-paper.sqlite`
#                     (after gunzip), and name that CSV as RUNS the next time
#   gpu.csv, gpu-profile.txt, kernels.csv, figure-time.csv, losses-gpu.csv   tables of benchmarks/results, those that were measured now
#   logs.tgz          what the steps printed
# They are written after each step, every EXPORT_EVERY seconds, and when the script ends or is ended. A file there is whole at any time.
#
# Settings, as environment variables:
#   FOLDER    folder of the work; default gpu-window
#   RESULTS   folder of the results; default FOLDER/results
#   MINUTES   time for the whole script; default 9
#   STEPS     which of: tests bench kernels time figures study losses; default: time figures tests kernels
#   STUDY     file of the step study; the step kernels times every kernel, the step time measures what of the figure TIMED (default
#             fig7) is not steps, the step losses what each loss costs
#   FIGURES   figures, in their order; the default depends on DATASET
#   DATASET   default mnist (its files in DILUTION_DATA)
#   EXTERNAL  data set of the external images of Figure 6, which needs one that is there
#   RUNS      exported runs of earlier times, .csv or .csv.gz; searches by trials without val_acc_noisy are refused
#   KEEP      not empty: the store of FOLDER goes on, for a second call on a machine that was not given back
#   CHECKPOINTS   folder of checkpoints of an earlier time: FOLDER/checkpoints, which has those of the trainings that
#             MINUTES cut short. A group of 32 Conv-4 takes 334 MB (with Adam); without its checkpoint it starts again.
#   WHEELS    folder of packages that the machine's Python lacks, and of dilution's own, from which the version is
#             read: pip wheel --no-deps -w WHEELS .
#   DEVICE, PRECISION, PRESET, TURNS, EXPORT_EVERY   default cuda, bfloat16, paper, 2, 90
set -uo pipefail
cd "$(dirname "$0")/.."
FOLDER=${FOLDER:-gpu-window} DEVICE=${DEVICE:-cuda} DATASET=${DATASET:-mnist}
RESULTS=${RESULTS:-$FOLDER/results}
deadline=$(($(date +%s) + ${MINUTES:-9} * 60))
mkdir -p "$FOLDER" "$RESULTS" || exit 1
store="$FOLDER/runs.sqlite"
if [ -z "${KEEP:-}" ]; then rm -f "$store" "$store-wal" "$store-shm"; fi
touch "$FOLDER/started"
left() { echo $((deadline - $(date +%s) - 30)); }  # 10 s for a step to end by itself, 20 s for what follows
case $DATASET in  # the most valuable first; other figures train other networks on other data
mnist) FIGURES=${FIGURES:-gradients fig7 fig1 fig9 fig11 fig8 fig10 fig5} ;;
cifar10) FIGURES=${FIGURES:-fig7 fig2} ;;
fashion-mnist) FIGURES=${FIGURES:-fig1} ;;
*) FIGURES=${FIGURES:-all} ;;
esac
if [ -n "${CHECKPOINTS:-}" ]; then
    mkdir -p "$FOLDER/checkpoints"
    cp -R "$CHECKPOINTS"/. "$FOLDER/checkpoints" || exit 1
fi

export PYTHONPATH=$PWD/src
if [ -n "${WHEELS:-}" ]; then
    packages=$(mktemp -d)
    python3 -m pip install --quiet --no-index --no-deps --target "$packages" "$WHEELS"/*.whl || exit 1
    PYTHONPATH=$PYTHONPATH:$packages
fi

steps=${STEPS:-time figures tests kernels}
for step in $steps; do
    if [[ ! " tests bench kernels time figures study losses " == *" $step "* ]]; then
        echo "STEPS has $step; it takes tests, bench, kernels, time, figures, study and losses" >&2
        exit 2
    fi
done
if [[ " $steps " == *" study "* ]] && [ ! -f "${STUDY:-}" ]; then
    echo "the step study needs STUDY, the file of a study; it is '${STUDY:-}'" >&2
    exit 2
fi
# shellcheck disable=SC2086
python3 - "$DEVICE" "$DATASET" $steps <<'END' || exit 1
import importlib, sys
device, dataset, *steps = sys.argv[1:]
try:
    import dilution, torch
    from dilution.utils.version import versions
    for name in ("pytest", "xdist") if "tests" in steps else ():
        importlib.import_module(name)
    print(versions())  # without the metadata of dilution's own wheel each step would fail at its end
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("torch finds no GPU")
    if device == "cuda":
        print(torch.cuda.get_device_name())
    if "time" in steps or "figures" in steps:
        dilution.load(dataset)
except Exception as error:
    sys.exit(f"not started: {error}")
END
if [ -n "${RUNS:-}" ]; then
    case $RUNS in
    *.gz) gunzip -c "$RUNS" >"$FOLDER/earlier.csv" && RUNS=$FOLDER/earlier.csv || exit 1 ;;
    esac
    python3 -m dilution import "$RUNS" --store "$store" || exit 1
fi

put() {  # put FILE: under its name in RESULTS there is a whole file, the earlier one or this one
    local name
    name=$(basename "$1")
    cp "$1" "$RESULTS/.$name.$BASHPID.part" && mv -f "$RESULTS/.$name.$BASHPID.part" "$RESULTS/$name"
}
publish() {  # write all results that there are so far
    local part="$FOLDER/part-$BASHPID" table
    rm -rf "$part"
    mkdir "$part"
    for table in gpu.csv gpu-profile.txt kernels.csv figure-time.csv losses.csv losses-gpu.csv; do
        if [ "benchmarks/results/$table" -nt "$FOLDER/started" ]; then put "benchmarks/results/$table"; fi
    done
    # the store may be written meanwhile; an export that fails leaves the earlier one
    if [ -f "$store" ] && python3 -m dilution export "$part/runs.csv" --store "$store" >"$FOLDER/export.txt" 2>&1; then
        gzip -9 "$part/runs.csv" && put "$part/runs.csv.gz"
    fi
    # tar warns of a log that grows meanwhile, and writes what there is
    (cd "$FOLDER" && tar -czf "${part##*/}/logs.tgz" -- *.txt) 2>/dev/null
    if [ -s "$part/logs.tgz" ]; then put "$part/logs.tgz"; fi
    rm -rf "$part"
}

job='' exporter='' compiler='' failed=0
finish() {  # however the script ends
    trap '' TERM INT HUP  # several signals must not disturb it
    if [ -n "$exporter" ]; then kill "$exporter" 2>/dev/null && wait "$exporter" 2>/dev/null; fi
    if [ -n "$compiler" ]; then kill "$compiler" 2>/dev/null; fi
    if [ -n "$job" ]; then  # otherwise all is published
        kill "$job" 2>/dev/null  # timeout passes TERM on, and kills 10 s later
        publish
        wait "$job" 2>/dev/null
    fi
    rm -rf "$FOLDER"/part-* "$RESULTS"/.*.part  # of an export that was ended
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP
# of its output nothing remains open behind the script: a caller may read that to its end
(while sleep "${EXPORT_EVERY:-90}" && kill -0 $$; do publish; done) >/dev/null 2>&1 &
exporter=$!
# several processes compile the kernels of the figures meanwhile, which the first training would compile one by one
if [ "$DEVICE" = cuda ] && [[ "$DATASET ${steps%% *}" =~ ^mnist\ (time|figures)$ ]]; then
    timeout 90 python3 benchmarks/kernels.py --models conv4 --optimizer adadelta --compile-only \
        >"$FOLDER/compile.txt" 2>&1 &  # timeout passes TERM on to all of them
    compiler=$!
fi

run_step() {  # run_step SECONDS LOG COMMAND...: INT ends it, so that it says what there was so far
    # in the background, since a signal would wait for the end of a command in the foreground
    env --default-signal=INT timeout -k 10 -s INT "$1" "${@:3}" >>"$FOLDER/$2" 2>&1 &
    job=$!
    wait "$job"
    result=$?
    job=''
    case $result in
    0 | 75 | 124) ;;  # 75: the time is over; 124: that of the step
    *) failed=1 ;;
    esac
}

reproduce() {  # reproduce PAGE FIGURE...: within `seconds`
    # exit code 75: the time is over, and the same command goes on. In this process: one for each round of a
    # search would start anew, some seconds each, and there is one GPU
    run_step $((seconds + 10)) figures.txt python3 -m dilution reproduce "${@:2}" --dataset "$DATASET" \
        --preset "${PRESET:-paper}" --device "$DEVICE" --precision "${PRECISION:-bfloat16}" --workers 0 \
        ${EXTERNAL:+--external "$EXTERNAL"} \
        --time-limit "${seconds}s" --store "$store" --checkpoints "$FOLDER/checkpoints" --out "$FOLDER/$1"
}

for step in $steps; do
    started=$(date +%s) seconds=$(left)
    if [ "$seconds" -lt 2 ]; then  # a limit of 0 would be none
        echo "$step: not started, MINUTES are over"
        continue
    fi
    : >"$FOLDER/$step.txt"
    case $step in
    tests)
        # in several processes, since compiling takes longer than the tests; the machine's packages have other
        # versions than those that are tested, and other warnings; all reasons are written
        pytest=(env OMP_NUM_THREADS=1 python3 -m pytest -q -n 8 --dist worksteal -rfEs -p no:benchmark -o filterwarnings=default)
        run_step $((seconds < 90 ? seconds : 90)) tests.txt "${pytest[@]}" tests/test_training_kernels.py
        tail -n 3 "$FOLDER/tests.txt"
        echo "tests of the kernels: exit code $result"
        seconds=$(left)
        if [ "$seconds" -ge 2 ]; then  # the other tests that need a GPU have a_gpu in their names
            run_step $((seconds < 60 ? seconds : 60)) tests.txt "${pytest[@]}" -k a_gpu \
                tests/test_training_{device,ensemble_step,losses_training,optimizers,predicted_probabilities,strategies}.py
            tail -n 3 "$FOLDER/tests.txt"
        fi
        ;;
    bench)
        run_step $((seconds / 2)) bench.txt python3 benchmarks/gpu.py --device "$DEVICE" --turns "${TURNS:-2}" \
            --models conv4 conv6 mlp2
        tail -n 30 "$FOLDER/bench.txt"
        ;;
    time)
        if [ -n "$compiler" ]; then wait "$compiler"; compiler=''; fi  # beside it the time would be another one
        seconds=$(left)
        seconds=$((seconds < 150 ? seconds : 150))  # the figures go on with what it leaves
        if [ "$seconds" -lt 2 ]; then
            echo "$step: not started, MINUTES are over"
            continue
        fi
        run_step $((seconds + 10)) time.txt python3 benchmarks/figure_time.py "${TIMED:-fig7}" --dataset "$DATASET" \
            --preset "${PRESET:-paper}" --device "$DEVICE" --precision "${PRECISION:-bfloat16}" \
            --time-limit "${seconds}s" --store "$store" --checkpoints "$FOLDER/checkpoints"
        tail -n 3 "$FOLDER/time.txt"
        ;;
    figures)
        # shellcheck disable=SC2086
        reproduce page $FIGURES
        if [[ ! " 0 75 124 " == *" $result "* ]] && [ "$(wc -w <<<"$FIGURES")" -gt 1 ]; then
            # an error of one figure, which may lie in its page: those that have ended cost some seconds again
            first=$result
            for figure in $FIGURES; do
                seconds=$(left)
                if [ "$seconds" -lt 2 ]; then break; fi
                reproduce "page-$figure" "$figure"
                if [ "$result" = 75 ] || [ "$result" = 124 ]; then break; fi
            done
            result=$first
        fi
        tail -n 20 "$FOLDER/figures.txt"
        ;;
    study)
        run_step $((seconds + 10)) study.txt python3 -m dilution run "$STUDY" --device "$DEVICE" --workers 0 \
            --time-limit "${seconds}s" --store "$store" --checkpoints "$FOLDER/checkpoints"
        tail -n 5 "$FOLDER/study.txt"
        ;;
    kernels)
        run_step $((seconds < 120 ? seconds : 120)) kernels.txt python3 benchmarks/kernels.py --device "$DEVICE"
        tail -n 30 "$FOLDER/kernels.txt"
        ;;
    losses)
        run_step $((seconds < 240 ? seconds : 240)) losses.txt python3 benchmarks/losses.py --device "$DEVICE"
        tail -n 5 "$FOLDER/losses.txt"
        ;;
    esac
    echo "$step: exit code $result after $(($(date +%s) - started)) s"
    if grep -q "ConvNets train by torch" "$FOLDER/$step.txt"; then
        echo "$step: some ConvNets trained without the kernels: $(grep -m 1 "ConvNets train by torch" "$FOLDER/$step.txt")"
    fi
    publish
done
exit $failed
