"""The machine's ceiling: a large float32 product of matrices; the 'rate' is in GFLOP/s."""

import json
import sys
import time

import torch
from common import SECONDS, peak_mb

SIZE = 3072
torch.set_num_threads(int(sys.argv[1]))
left, right = torch.rand(SIZE, SIZE), torch.rand(SIZE, SIZE)
out = left @ right
print(json.dumps({"ready": True, "version": f"torch {torch.__version__}"}), flush=True)
for _ in sys.stdin:
    start, products = time.perf_counter(), 0
    while (took := time.perf_counter() - start) < SECONDS:
        torch.mm(left, right, out=out)
        products += 1
    print(json.dumps({"rate": products * 2 * SIZE**3 / took / 1e9, "peak_mb": peak_mb()}), flush=True)
