"""Files to begin with: every column of a trace once, as docs/traces.md describes them."""

from collections.abc import Mapping
from typing import Final

TASKS: Final = """\
arrival_s,name,type,cpu,memory_bytes,gpu,reference_runtime_s,sla_multiplier,expected_runtime_s,deadline_s,priority,\
gpu_product,storage_bytes,user
0,train-1,gpu-training,8,34359738368,1,1800,2,,,0,,,ann
60,train-2,gpu-training,64,274877906944,8,7200,2,9000,,0,,,ann
90.5,report-1,cpu-light,1,1073741824,0,45,2,,600,0,,,bob
120,render-1,gpu-inference,4,17179869184,1,300,1.5,,none,5,NVIDIA-A100-SXM4-40GB,1073741824,bob
"""
FLEET: Final = """\
node,cpu,memory_bytes,gpu,gpu_product,storage_bytes,pods,speed
gpu-a-0,96,549755813888,8,NVIDIA-A100-SXM4-40GB,1099511627776,110,1
gpu-t4-0,32,137438953472,4,NVIDIA-T4,549755813888,110,1
cpu-0,32,137438953472,0,,549755813888,110,1
"""
SPEEDS: Final = """\
type,gpu_product,factor
gpu-training,NVIDIA-A100-SXM4-40GB,0.6
gpu-training,NVIDIA-T4,2.1
gpu-inference,NVIDIA-A100-SXM4-40GB,0.7
gpu-inference,NVIDIA-T4,1.4
"""
FILES: Final[Mapping[str, str]] = {"tasks": TASKS, "fleet": FLEET, "speeds": SPEEDS}
