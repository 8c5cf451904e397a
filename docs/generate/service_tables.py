"""Tables of the service's settings, metrics and errors."""

from __future__ import annotations

from prometheus_client.metrics import MetricWrapperBase
from pydantic.fields import FieldInfo

from identity_reward_client.errors import server_errors
from service.operations.metrics import Metrics
from service.settings.groups import PREFIX
from service.settings.settings import Settings

from .markdown import table

LIMIT_PREFIXES = ("max_", "client_")
LIMIT_SUFFIXES = ("_timeout_s", "_max_calls")


def settings(limits: bool) -> str:
    rows = [
        (f"`{variable}`", default(name, field), field.description or "")
        for variable, (_, name, field) in Settings.variables().items()
        if name != "status_path" and is_limit(variable) == limits
    ]
    return table(("variable", "default", "what it bounds" if limits else "what it chooses"), rows)


def default(name: str, field: FieldInfo) -> str:
    if name == "decode_threads":
        return "the CPU's cores, 2 to 8"
    if field.default is None or field.default == ():
        return "unset"
    return ",".join(field.default) if isinstance(field.default, tuple) else f"{field.default}"


def is_limit(variable: str) -> bool:
    name = variable.removeprefix(PREFIX).lower()
    return name.startswith(LIMIT_PREFIXES) or name.endswith(LIMIT_SUFFIXES)


def metrics() -> str:
    registered = Metrics()
    wrapped = [value for value in vars(registered).values() if isinstance(value, MetricWrapperBase)]
    labels = {metric._name: metric._labelnames for metric in wrapped}
    rows = [
        (f"`{family.name}{'_total' if family.type == 'counter' else ''}`", family.type,
         ", ".join(labels.get(family.name, getattr(family, "_labelnames", ()))), family.documentation)
        for family in registered.registry.collect()
    ]  # fmt: skip
    return table(("metric", "type", "labels", "meaning"), sorted(rows))


def errors() -> str:
    rows = [
        (f"`{cls.code}`", f"`{cls.__name__}`", str(cls.http_status), cls.grpc_status, "yes" if cls.retryable else "",
         cls.meaning)
        for cls in server_errors()
    ]  # fmt: skip
    return table(("code", "Python class", "HTTP", "gRPC", "retryable", "when"), rows)
