"""Admission policies of the chart that depend on what the cluster serves."""

from tests.chart.test_chart import MUTATING, helm, pick

from cloudai_sandbox.helm import Helm

__all__ = ["helm"]


def test_numbers_become_texts_where_the_cluster_can_do_it(helm: Helm) -> None:
    """Only with MutatingAdmissionPolicy, stable or beta, and with admission at all."""
    for served, version in ((MUTATING, "v1"), (MUTATING.replace("/v1/", "/v1beta1/"), "v1beta1")):
        policy = pick(helm.template(more=[f"--api-versions={served}"]), "MutatingAdmissionPolicy", "cloudai-numbers")
        assert policy["apiVersion"] == f"admissionregistration.k8s.io/{version}"
    off = [
        helm.template({"admission": values}, more=[f"--api-versions={MUTATING}"])
        for values in ({"enabled": False}, {"numbers": False})
    ]
    for objects in (helm.template(), *off):
        assert not any(one["kind"].startswith("MutatingAdmissionPolicy") for one in objects)
