"""What a tenant may write into a pod or Task: the API server stores all of it."""

from typing import Any

DEEP = 5_000
_AWAY_FROM_MANY = {
    "topologyKey": "kubernetes.io/hostname",
    "namespaceSelector": {},
    "labelSelector": {
        "matchExpressions": [
            *({"key": f"k{i}", "operator": "DoesNotExist"} for i in range(15_000)),
            {"key": "zz", "operator": "Exists"},
        ]
    },
}
POISONS: dict[str, dict[str, Any]] = {
    "deep managedFields": {"metadata": {"managedFields": [{"fieldsV1": "DEEP"}]}},
    "deep decision": {"metadata": {"annotations": {"cloudai.dev/decision": '{"x":' + "[" * 20_000}}},
    "deep but closed decision": {"metadata": {"annotations": {"cloudai.dev/decision": "[" * 900 + "]" * 900}}},
    "forged decision": {
        "metadata": {
            "labels": {
                "cloudai.dev/bound-by": "cloudai-scheduler",
                "cloudai.dev/task": "t",
                "cloudai.dev/attempt": "7",
            },
            "annotations": {"cloudai.dev/decision": '{"predictedRuntimeSeconds":1e308,"load":-5}'},
        }
    },
    "half surrogates": {
        "metadata": {"annotations": {"cloudai.dev/decision": '{"policy":"\\ud800"}', "cloudai.dev/arrival": "\\udfff"}}
    },
    "absurd times": {
        "metadata": {
            "annotations": {
                "cloudai.dev/deadline": "1970-01-01T00:00:01Z",
                "cloudai.dev/reference-runtime-seconds": "1e-300",
                "cloudai.dev/runtime-log-sd": "1e300",
                "cloudai.dev/arrival": "+24:00",
            }
        }
    },
    "sum beyond int64": {
        "spec": {"containers": [{"name": f"c{i}", "resources": {"requests": {"memory": "8Pi"}}} for i in range(1100)]}
    },
    "amounts beyond decimals": {
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1e999999999", "memory": "50E"}}}]}
    },
    "15,000 resource names": {
        "spec": {
            "containers": [{"name": "c", "resources": {"requests": {f"example.com/r{i}": "1" for i in range(15_000)}}}]
        }
    },
    "19,000 requirements": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": f"k{i}", "operator": "In", "values": ["v"]}]}
                            for i in range(19_000)
                        ]
                    }
                }
            }
        }
    },
    "30,000 host ports": {
        "spec": {
            "containers": [{"name": "c", "ports": [{"hostPort": i, "containerPort": i} for i in range(1, 30_000)]}]
        }
    },
    "38,000 containers": {"spec": {"containers": [{"name": f"c{i}", "image": "x"} for i in range(38_000)]}},
    "13,000 sidecars, each with a resource of its own": {
        "spec": {
            "initContainers": [
                {"name": f"c{i}", "restartPolicy": "Always", "resources": {"requests": {f"a{i}.io/x": "1"}}}
                for i in range(13_000)
            ]
        }
    },
    "9,000 wishes for neighbours": {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "affinity": {
                "podAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "podAffinityTerm": {"topologyKey": f"k{i}", "labelSelector": {}}}
                        for i in range(9_000)
                    ]
                }
            }
        },
    },
    "15,000 requirements on neighbours": {
        "spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_AWAY_FROM_MANY]}}}
    },
    "100,000 namespaces of neighbours": {
        "spec": {
            "affinity": {
                "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {},
                            "namespaces": [f"n{i}" for i in range(100_000)],
                        }
                    ]
                }
            }
        }
    },
    "64 ways to be spread": {
        "spec": {
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "DoNotSchedule",
                    "labelSelector": {"matchExpressions": [{"key": f"k{i}", "operator": "DoesNotExist"}]},
                }
                for i in range(64)
            ]
        }
    },
    "20,000 tolerations": {"spec": {"tolerations": [{"key": f"k{i}", "operator": "Exists"} for i in range(20_000)]}},
    "owner that is nobody": {
        "metadata": {"ownerReferences": [{"apiVersion": "evil/v1", "kind": "Task", "uid": "x", "controller": True}]}
    },
    "selector that cannot be read": {
        "spec": {
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["9" * 5000]}]},
                            {"matchExpressions": [{"key": "a", "operator": "Gt", "values": []}]},
                        ]
                    }
                }
            }
        }
    },
}
"""By name; what is not here is as in an ordinary pod. The word DEEP stands for that many levels."""


def deepened(content: bytes, levels: int = DEEP) -> bytes:
    """JSON with the word DEEP replaced by an object of so many levels, which Python's own encoder cannot write."""
    return content.replace(b'"DEEP"', b'{"f:x":' * levels + b"{}" + b"}" * levels)
