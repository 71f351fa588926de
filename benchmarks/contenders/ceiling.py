"""The ceiling of the machine: a large float32 matrix product; its throughput is in GFLOP/s."""

import json
import sys
import time

import torch
from common import SECONDS, peak_mb

SIZE = 3072
torch.set_num_threads(int(sys.argv[1]))
left, right = torch.rand(SIZE, SIZE), torch.rand(SIZE, SIZE)
product = left @ right
print(json.dumps({"ready": True, "version": f"torch {torch.__version__}"}), flush=True)
for _ in sys.stdin:
    start, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < SECONDS:
        torch.mm(left, right, out=product)
        count += 1
    throughput = count * 2 * SIZE**3 / seconds / 1e9
    print(json.dumps({"throughput": throughput, "peak_mb": peak_mb()}), flush=True)
