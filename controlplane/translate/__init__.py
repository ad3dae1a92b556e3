"""From objects to Envoy resources: pure functions, and what they have to say about the objects."""

from __future__ import annotations

from controlplane.translate.bootstrap import BootstrapOptions, bootstrap
from controlplane.translate.fragments import Fragments
from controlplane.translate.options import CodeRef, FilterCode, Options
from controlplane.translate.plan import QuotaPlan, SalePlan
from controlplane.translate.proxy_tls import ProxyTls, secret_files
from controlplane.translate.render import render
from controlplane.translate.report import Report, ResourceKey, Verdict
from controlplane.translate.translation import Translation, translate

__all__ = [
    "BootstrapOptions",
    "CodeRef",
    "FilterCode",
    "Fragments",
    "Options",
    "ProxyTls",
    "QuotaPlan",
    "Report",
    "ResourceKey",
    "SalePlan",
    "Translation",
    "Verdict",
    "bootstrap",
    "render",
    "secret_files",
    "translate",
]
