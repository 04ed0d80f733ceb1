"""render.yaml against Render's Blueprint reference (render.com/docs/blueprint-spec, read in November 2026): every key
is one the reference has for that kind of thing, every value one it allows, and every reference leads somewhere."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from namaskah.config import SETTINGS

ROOT = Path(__file__).parents[2]

# ── What the reference says, written down ────────────────────────────────────────────────────────────────────────────
ROOT_KEYS = {"services", "databases", "envVarGroups", "projects", "ungrouped", "previews"}
SERVICE_TYPES = {"web", "pserv", "worker", "cron", "keyvalue"}  # redis is a deprecated alias
RUNTIMES = {"node", "python", "elixir", "go", "ruby", "rust", "docker", "image", "static"}
REGIONS = {"oregon", "ohio", "virginia", "frankfurt", "singapore"}
PLANS = {"free", "starter", "standard", "pro", "pro plus", "pro max", "pro ultra"}
EVICTION = {"allkeys-lru", "volatile-lru", "allkeys-random", "volatile-random", "volatile-ttl", "noeviction"}
TRIGGERS = {"commit", "checksPass", "off"}
COMPUTE_KEYS = {
    "name", "type", "runtime", "plan", "previews", "buildCommand", "startCommand", "preDeployCommand", "region", "repo",
    "branch", "autoDeployTrigger", "maxShutdownDelaySeconds", "numInstances", "scaling", "buildFilter", "rootDir",
    "disk", "envVars", "dockerCommand", "dockerfilePath", "dockerContext", "registryCredential", "image",
}  # fmt: skip
SERVICE_KEYS = {
    "web": COMPUTE_KEYS | {"domains", "healthCheckPath"},
    "pserv": COMPUTE_KEYS,
    "worker": COMPUTE_KEYS,
    "cron": (COMPUTE_KEYS | {"schedule"}) - {"maxShutdownDelaySeconds", "numInstances", "scaling", "disk"},
    "keyvalue": {"name", "type", "ipAllowList", "region", "plan", "previewPlan", "maxmemoryPolicy"},
}
SERVICE_NEEDS = {"keyvalue": {"name", "type", "ipAllowList"}, "cron": {"name", "type", "runtime", "schedule"}}
DATABASE_KEYS = {
    "name", "plan", "previewPlan", "diskSizeGB", "previewDiskSizeGB", "region", "ipAllowList", "postgresMajorVersion",
    "databaseName", "user", "readReplicas", "highAvailability",
}  # fmt: skip
SIZES = {
    "basic": ("256mb", "1gb", "4gb"),
    "pro": tuple(f"{size}gb" for size in (4, 8, 16, 32, 64, 128, 192, 256, 384, 512)),
    "accelerated": tuple(f"{size}gb" for size in (16, 32, 64, 128, 256, 384, 512, 768, 1024)),
}
DATABASE_PLANS = {"free"} | {f"{tier}-{size}" for tier, sizes in SIZES.items() for size in sizes}
SOURCES = {"value", "generateValue", "sync", "fromDatabase", "fromService"}
DATABASE_PROPERTIES = {"host", "port", "connectionString", "user", "password", "database"}
SERVICE_PROPERTIES = {
    "web": {"host", "port", "hostport"}, "pserv": {"host", "port", "hostport"},
    "keyvalue": {"host", "port", "connectionString"},
}  # fmt: skip


# ── Reading a Blueprint by it ────────────────────────────────────────────────────────────────────────────────────────
def faults(blueprint: dict[str, Any]) -> list[str]:
    found = [f"{key} is no key of a Blueprint" for key in set(blueprint) - ROOT_KEYS]
    for service in blueprint.get("services", []):
        found += _service_faults(service)
    for database in blueprint.get("databases", []):
        found += _database_faults(database)
    for group in blueprint.get("envVarGroups", []):
        found += [f"{key} is no key of a group" for key in set(group) - {"name", "envVars"}]
    names = [each["name"] for kind in ("services", "databases") for each in blueprint.get(kind, [])]
    found += [f"{name} is there twice" for name in {name for name in names if names.count(name) > 1}]
    for owner, variable in _variables(blueprint):
        found += [f"{owner}: {fault}" for fault in _variable_faults(blueprint, owner, variable)]
    return found


def _service_faults(service: dict[str, Any]) -> list[str]:
    name, kind = service.get("name", "?"), service.get("type")
    if kind not in SERVICE_TYPES:
        return [f"{name}: {kind} is no type of service"]
    found = [f"{name}: {key} is no key of a {kind}" for key in set(service) - SERVICE_KEYS[kind]]
    needs = SERVICE_NEEDS.get(kind, {"name", "type", "runtime"})
    found += [f"{name}: {key} is missing" for key in needs - set(service)]
    allowed = {"region": REGIONS, "plan": PLANS, "maxmemoryPolicy": EVICTION, "autoDeployTrigger": TRIGGERS,
               "runtime": RUNTIMES}  # fmt: skip
    for key, values in allowed.items():
        if key in service and service[key] not in values:
            found.append(f"{name}: {service[key]} is no {key}")
    if not 1 <= service.get("maxShutdownDelaySeconds", 30) <= 300:
        found.append(f"{name}: maxShutdownDelaySeconds is 1 to 300")
    if service.get("plan") == "free" and kind in {"worker", "pserv", "cron"}:
        found.append(f"{name}: a {kind} has no free plan")
    if service.get("runtime") == "docker" and {"startCommand", "buildCommand"} & set(service):
        found.append(f"{name}: docker takes dockerCommand")
    if service.get("runtime") not in {None, "docker", "image"} and not {"startCommand", "buildCommand"} <= set(service):
        found.append(f"{name}: buildCommand or startCommand is missing")
    return found


def _database_faults(database: dict[str, Any]) -> list[str]:
    name = database.get("name", "?")
    found = [f"{name}: {key} is no key of a database" for key in set(database) - DATABASE_KEYS]
    if database.get("plan", "basic-256mb") not in DATABASE_PLANS:
        found.append(f"{name}: {database['plan']} is no plan")
    if database.get("region", "oregon") not in REGIONS:
        found.append(f"{name}: {database['region']} is no region")
    if not isinstance(database.get("postgresMajorVersion", ""), str):
        found.append(f"{name}: postgresMajorVersion is a string")
    size = database.get("diskSizeGB", 1)
    return found + ([f"{name}: a disk has 1 or a multiple of 5 GB"] if size != 1 and size % 5 else [])


def _variables(blueprint: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("services", "envVarGroups"):
        for owner in blueprint.get(kind, []):
            for variable in owner.get("envVars", []):
                yield f"{'group ' if kind == 'envVarGroups' else ''}{owner['name']}", variable


def _variable_faults(blueprint: dict[str, Any], owner: str, variable: dict[str, Any]) -> list[str]:
    in_group = owner.startswith("group ")
    if "fromGroup" in variable:
        known = {group["name"] for group in blueprint.get("envVarGroups", [])}
        odd = in_group or set(variable) != {"fromGroup"} or variable["fromGroup"] not in known
        return [f"fromGroup {variable['fromGroup']} leads nowhere"] if odd else []
    key, sources = variable.get("key"), set(variable) - {"key"}
    if not key or len(sources) != 1 or not sources <= SOURCES:
        return [f"{key} needs exactly one of {sorted(SOURCES)}"]
    source = sources.pop()
    if in_group and source not in {"value", "generateValue"}:
        return [f"{key}: a group cannot have {source}"]
    if source == "fromDatabase":
        names = {each["name"] for each in blueprint.get("databases", [])}
        target = variable[source]
        is_known = target.get("name") in names and target.get("property") in DATABASE_PROPERTIES
        return [] if is_known and set(target) == {"name", "property"} else [f"{key}: fromDatabase leads nowhere"]
    return _reference_faults(blueprint, str(key), variable[source]) if source == "fromService" else []


def _reference_faults(blueprint: dict[str, Any], key: str, target: dict[str, Any]) -> list[str]:
    found = [each for each in blueprint.get("services", []) if each["name"] == target.get("name")]
    if not found or found[0]["type"] != target.get("type"):
        return [f"{key}: there is no {target.get('type')} {target.get('name')}"]
    if set(target) == {"type", "name", "property"}:
        known = SERVICE_PROPERTIES.get(target["type"], set())
        return [] if target["property"] in known else [f"{key}: no property {target['property']}"]
    if set(target) == {"type", "name", "envVarKey"}:
        own = {each.get("key") for each in found[0].get("envVars", [])}
        return [] if target["envVarKey"] in own else [f"{key}: {target['name']} has no {target['envVarKey']}"]
    return [f"{key}: fromService needs property or envVarKey"]


# ── The tests ────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def blueprint() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "render.yaml").read_text())
    return read


def service(blueprint: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in blueprint["services"] if each["type"] == kind)
    return found


def test_every_key_and_reference_is_one_of_renders(blueprint: dict[str, Any]) -> None:
    assert faults(blueprint) == []


def keys_of(blueprint: dict[str, Any], owner: dict[str, Any]) -> set[str]:
    """Its variables, those of its groups included."""
    groups = {group["name"]: group for group in blueprint["envVarGroups"]}
    keys = set()
    for variable in owner["envVars"]:
        keys |= {each["key"] for each in groups[variable["fromGroup"]]["envVars"]} if "fromGroup" in variable else set()
        keys |= {variable["key"]} if "key" in variable else set()
    return keys


def test_web_and_worker_are_told_the_same_and_only_what_we_know(blueprint: dict[str, Any]) -> None:
    web, worker = (keys_of(blueprint, service(blueprint, kind)) for kind in ("web", "worker"))
    assert web - worker == {"METRICS_TOKEN", "PROXY_HOPS"}  # of what only a web server does
    assert worker <= web
    assert web <= {setting.name for setting in SETTINGS}
    assert {"SECRET_KEY", "BASE_URL", "DATABASE_URL", "REDIS_URL", "ENVIRONMENT"} <= web


def test_all_are_in_one_region_and_closed_to_the_world(blueprint: dict[str, Any]) -> None:
    everything = [*blueprint["services"], *blueprint["databases"]]
    assert len({each["region"] for each in everything}) == 1
    assert [each["ipAllowList"] for each in everything if "ipAllowList" in each] == [[], []]
    assert service(blueprint, "keyvalue")["maxmemoryPolicy"] == "noeviction"
    web = service(blueprint, "web")
    assert web["healthCheckPath"] == "/health/ready" and "flask db upgrade" in web["preDeployCommand"]


def _set(place: str, value: Any) -> Any:
    def change(blueprint: dict[str, Any]) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in place.split(".")]
        for part in way:
            blueprint = blueprint[part]
        blueprint[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("jobs", []), "no key of a Blueprint"),
        (_set("services.1.healthCheckInterval", 5), "healthCheckInterval is no key"),
        (_set("services.2.healthCheckPath", "/"), "healthCheckPath is no key of a worker"),
        (_set("services.1.region", "lagos"), "lagos is no region"),
        (_set("services.1.maxShutdownDelaySeconds", 301), "1 to 300"),
        (_set("services.2.plan", "free"), "no free plan"),
        (_set("services.0.maxmemoryPolicy", "never"), "never is no maxmemoryPolicy"),
        (_set("services.1.startCommand", "x"), "docker takes dockerCommand"),
        (_set("databases.0.postgresMajorVersion", 18), "is a string"),
        (_set("databases.0.diskSizeGB", 12), "multiple of 5"),
        (_set("databases.0.plan", "huge"), "no plan"),
        (_set("databases.0.name", "other"), "fromDatabase leads nowhere"),
        (_set("services.0.name", "other"), "there is no keyvalue"),
        (_set("services.1.envVars.0.key", "OTHER"), "has no SECRET_KEY"),
        (_set("services.1.envVars.0.value", "x"), "exactly one of"),
        (_set("envVarGroups.0.name", "other"), "leads nowhere"),
        (_set("envVarGroups.0.envVars.0", {"key": "A", "sync": False}), "a group cannot have sync"),
    ],
)
def test_what_render_would_refuse_is_seen(blueprint: dict[str, Any], change: Any, said: str) -> None:
    spoilt = copy.deepcopy(blueprint)
    change(spoilt)
    assert any(said in fault for fault in faults(spoilt)), faults(spoilt)
