#!/bin/bash
# What a short time on a lent GPU gives, the most valuable first; the next time goes on where this one stopped.
#
# Tests of the kernels, the table of benchmarks/gpu.py in half of the rest, then figures at paper scale until MINUTES are over. The
# folder FOLDER gets logs, benchmark tables, and the runs as runs.csv. Import them into a store of your own:
# `dilution import runs.csv --store results/mnist-paper.sqlite`, and name that CSV as RUNS the next time.
#
# Settings, as environment variables:
#   FOLDER       folder of the results; default gpu-window
#   MINUTES   time for the whole script; default 9
#   STEPS     which of: tests bench figures study losses; default: the first three
#   STUDY     file of the step study; the step losses measures what each loss costs
#   FIGURES   figures, in their order; default all figures of the paper
#   DATASET   default mnist (its files in DILUTION_DATA)
#   RUNS      exported runs of earlier times; searches by trials without val_acc_noisy are refused
#   CHECKPOINTS   folder of checkpoints of an earlier time: FOLDER/checkpoints, which has those of the trainings that
#             MINUTES cut short. A group of 32 Conv-4 takes 334 MB (with Adam); without its checkpoint it starts again.
#   WHEELS    folder of packages that the machine's Python lacks, and of dilution's own, from which the version is
#             read: pip wheel --no-deps -w WHEELS .
#   DEVICE, PRECISION, PRESET, TURNS   default cuda, bfloat16, paper, 2
set -uo pipefail
cd "$(dirname "$0")/.."
FOLDER=${FOLDER:-gpu-window} DEVICE=${DEVICE:-cuda} DATASET=${DATASET:-mnist}
deadline=$(($(date +%s) + ${MINUTES:-9} * 60))
mkdir -p "$FOLDER"
store="$FOLDER/../gpu-window.sqlite"
rm -f "$store"
touch "$FOLDER/started"
left() { echo $((deadline - $(date +%s) - 20)); }  # 20 s for the export
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
dilution() { python3 -m dilution "$@"; }
python3 -c "import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())"

steps=${STEPS:-tests bench figures}
if [[ " $steps " == *" study "* ]] && [ ! -f "${STUDY:-}" ]; then
    echo "the step study needs STUDY, the file of a study; it is '${STUDY:-}'" >&2
    exit 2
fi
if [ -n "${RUNS:-}" ]; then
    dilution import "$RUNS" --store "$store" || exit 1
fi
for step in $steps; do
    started=$(date +%s) seconds=$(left)
    if [ "$seconds" -lt 2 ]; then  # a limit of 0 would be none
        echo "$step: not started, MINUTES are over"
        continue
    fi
    case $step in
    tests)
        # in several processes, since compiling takes longer than the tests; INT lets pytest say what failed so far;
        # the machine's packages have other versions than those that are tested, and other warnings
        timeout -k 15 -s INT $((seconds < 200 ? seconds : 200)) python3 -m pytest -q -n 8 -p no:benchmark -o filterwarnings=default tests/test_training_kernels.py >"$FOLDER/tests.txt" 2>&1
        result=$?
        tail -n 3 "$FOLDER/tests.txt"
        ;;
    bench)
        timeout -k 15 -s INT $((seconds / 2)) python3 benchmarks/gpu.py --device "$DEVICE" --turns "${TURNS:-2}" >"$FOLDER/bench.txt" 2>&1
        result=$?
        find benchmarks/results -name 'gpu*' -newer "$FOLDER/started" -exec cp {} "$FOLDER" \;  # what was measured now
        tail -n 30 "$FOLDER/bench.txt"
        ;;
    figures)
        # shellcheck disable=SC2086
        dilution reproduce ${FIGURES:-all} --dataset "$DATASET" --preset "${PRESET:-paper}" --device "$DEVICE" \
            --precision "${PRECISION:-bfloat16}" --time-limit "$((seconds > 1 ? seconds : 1))s" --store "$store" \
            --checkpoints "$FOLDER/checkpoints" \
            --out "$FOLDER/page" >"$FOLDER/figures.txt" 2>&1
        result=$?  # 75: the time is over, and the same command goes on
        tail -n 20 "$FOLDER/figures.txt"
        dilution export "$FOLDER/runs.csv" --store "$store"
        gzip -9 --keep --force "$FOLDER/runs.csv"
        ;;
    study)
        dilution run "$STUDY" --device "$DEVICE" --time-limit "${seconds}s" --store "$store" \
            --checkpoints "$FOLDER/checkpoints" >"$FOLDER/study.txt" 2>&1
        result=$?
        tail -n 5 "$FOLDER/study.txt"
        dilution export "$FOLDER/runs.csv" --store "$store"
        gzip -9 --keep --force "$FOLDER/runs.csv"
        ;;
    losses)
        timeout -k 15 -s INT "$seconds" python3 benchmarks/losses.py --device "$DEVICE" >"$FOLDER/losses.txt" 2>&1
        result=$?
        find benchmarks/results -name 'losses*' -newer "$FOLDER/started" -exec cp {} "$FOLDER" \;
        ;;
    *)
        echo "STEPS has $step; it takes tests, bench, figures, study and losses" >&2
        exit 2
        ;;
    esac
    echo "$step: exit code $result after $(($(date +%s) - started)) s"
done
