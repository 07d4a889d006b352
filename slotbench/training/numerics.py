"""What decides a cell's bits beside its code, recipe and versions, in words for its record."""

from __future__ import annotations

import os

import torch

from slotbench.selection import kernel
from slotbench.training.device import processor

VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "OMP_THREAD_LIMIT",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "SLOTBENCH_KERNEL",
)
"""Of the environment: limits of instruction sets, of threads and of precision that libraries take from it."""


def numerics(device: torch.device) -> dict[str, str]:
    """By name, what can make two trainings of a cell by the same code differ.

    "selection": what its steps run by: "compiled" (step.c), "triton" or "torch". "threads": those that torch uses.
    On a CPU "processor": its family, model and stepping; "instructions": the widest that torch uses; "products": the
    library of float32 products. On a GPU "capability", "cuda" and cuBLAS's "workspace". And
    `VARIABLES`, where they are set.
    """
    deciding = {"selection": kernel.path(device), "threads": str(torch.get_num_threads())}
    if device.type == "cuda":
        deciding["capability"] = ".".join(map(str, torch.cuda.get_device_capability(device)))
        deciding["workspace"] = os.environ.get("CUBLAS_WORKSPACE_CONFIG", "")
        deciding["cuda"] = str(torch.version.cuda)
    else:
        fields = (processor(field) for field in ("vendor_id", "cpu family", "model", "stepping"))
        deciding["processor"] = " ".join(field for field in fields if field)
        deciding["instructions"] = torch.backends.cpu.get_cpu_capability()
        by_onednn = torch.backends.mkldnn.matmul.fp32_precision == "bf16"  # type: ignore[attr-defined]
        deciding["products"] = "oneDNN" if by_onednn else "torch's choice"
    return deciding | {name: os.environ[name] for name in VARIABLES if name in os.environ}
