"""Reads ComfyUI's workflow graph: finds the sampler that made the picture, and its settings.

The file holds the whole graph and does not say which sampler counts. Where several follow one
another, the first makes the picture and the others refine it, so the first one's settings count.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from mirada.file_metadata.comfyui_graph import Graph, Node, from_run, from_workflow, link
from mirada.file_metadata.comfyui_prompts import prompt_of
from mirada.file_metadata.settings_objects import model_of
from mirada.file_metadata.texts import Found, Texts, json_object

RUN_SOURCES = ("prompt", "exif:Model", "exif:UserComment", "exif:ImageDescription", "comment")
WORKFLOW_SOURCES = ("workflow", "exif:Make", "exif:ImageDescription", "exif:UserComment")
"""The texts that hold each graph. A PNG has keywords; in EXIF the text is "prompt:{...}" or
"workflow:{...}"."""
MAX_SAMPLERS = 20
"""Samplers that are searched for a prompt; a bound against hostile graphs, chosen here."""
MAX_HOPS = 200
"""Links that are followed from one node; a bound against circles, chosen here."""
SIDE_INPUTS = frozenset(
    {"model", "clip", "vae", "positive", "negative", "conditioning", "guider", "sigmas", "sampler"}
    | {"noise", "control_net", "clip_vision", "style_model", "seed", "noise_seed", "text", "steps"}
    | {"cfg", "sampler_name", "scheduler", "denoise", "width", "height"}
)
"""Inputs of a sampler or a later step that do not bring the picture it works on."""
CARRIERS = ("guider", "sigmas", "sampler", "noise", "pipe", "basic_pipe", "context", "settings")
"""Inputs of a sampler that lead to nodes with the rest of its settings."""
TO_LATENT = ("latent_image", "latent", "samples", "pipe", "basic_pipe", "")
TO_MODEL = ("model", "guider", "model1", "unet", "pipe", "basic_pipe", "context", "")
"""Inputs that lead towards the latent image or the model, the likeliest first. "" is a reroute's."""
MODEL_NAMES = ("ckpt_name", "unet_name", "base_ckpt_name", "model_name", "gguf_name", "model_path")
VALUE_NAMES = ("value", "seed", "noise_seed", "int", "float", "number", "Number", "string", "text")


def read(texts: Texts) -> Found | None:
    """Return the settings of the first graph that has a sampler."""
    runs = (from_run(_labelled(text, "prompt")) for _, text in texts.of(RUN_SOURCES))
    workflows = (
        from_workflow(_labelled(text, "workflow")) for _, text in texts.of(WORKFLOW_SOURCES)
    )
    found = (_read_graph(Graph(nodes)) for nodes in chain(runs, workflows))
    return next((values for values in found if values is not None), None)


def _labelled(text: str, label: str) -> dict[str, Any]:
    """Return the JSON object of a text: after `label:`, under the key `label`, or the whole text."""
    start = text[: len(label) + 1].lower()
    data = json_object(text[len(label) + 1 :] if start == f"{label}:" else text) or {}
    return json_object(data.get(label)) or data


def _read_graph(nodes: Graph) -> Found | None:
    found: dict[str, Any] | None = None
    for key in islice(_samplers(nodes), MAX_SAMPLERS):
        values = _values(nodes, key)
        if found is None or values["prompt"] is not None:
            found = values
        if found["prompt"] is not None:
            break
    return None if found is None else ("ComfyUI", found)


def _samplers(nodes: Graph) -> Iterator[str]:
    """Yield the ids of samplers: saved pictures before previews, and first samplers before refiners."""
    seen: set[str] = set()
    for end in sorted(nodes.ends(), key=lambda key: "save" not in nodes.kind(key).lower()):
        yield from reversed(_samplers_behind(nodes, end, seen))
    # Nodes in a circle are reached from no end.
    yield from (key for key, node in nodes.items() if key not in seen and _samples(node))


def _samplers_behind(nodes: Graph, end: str, seen: set[str]) -> list[str]:
    found, waiting = [], deque([end])
    while waiting:
        key = waiting.popleft()
        node = None if key in seen else nodes.visit(key)
        seen.add(key)
        if node is None:
            continue
        if _samples(node):
            found.append(key)
        waiting.extend(
            source
            for name, value in node.inputs.items()
            if name.lower() not in SIDE_INPUTS and (source := link(value)) is not None
        )
    return found


def _samples(node: Node) -> bool:
    """Return whether a node is a sampler, judged by the names of its inputs."""
    names = node.inputs.keys()
    if "guider" in names:
        return "sigmas" in names or "sampler" in names
    if "sampler_name" in names and {"steps", "cfg"} & names:
        return True
    is_conditioned = {"positive", "conditioning", "text_embeds"} & names
    return bool(is_conditioned and {"steps", "sigmas", "seed", "noise_seed"} & names)


def _values(nodes: Graph, key: str) -> dict[str, Any]:
    """Return the settings of one sampler under the names of `FileMetadata`."""
    model, loras = _model(nodes, key)
    width, height = _size(nodes, key)
    to_guidance = (*CARRIERS, "positive", "conditioning")
    extra = {
        "denoise": _setting(nodes, key, ("denoise",)),
        "guidance": _setting(nodes, key, ("guidance",), to_guidance),
        "loras": ", ".join(loras),
    }
    return {
        "prompt": prompt_of(nodes, key, "positive"),
        "negative_prompt": prompt_of(nodes, key, "negative"),
        "seed": _setting(nodes, key, ("seed", "noise_seed")),
        "steps": _setting(nodes, key, ("steps",)),
        "cfg_scale": _setting(nodes, key, ("cfg", "cfg_conds")),
        "sampler": _setting(nodes, key, ("sampler_name",)),
        "scheduler": _setting(nodes, key, ("scheduler",)),
        "model": model,
        "width": width,
        "height": height,
        "extra": {name: value for name, value in extra.items() if value not in (None, "")},
    }


def _setting(
    nodes: Graph, key: str, names: tuple[str, ...], carriers: tuple[str, ...] = CARRIERS
) -> Any:
    """Return the nearest value with one of these names, in this node or behind its carriers."""
    waiting = deque([key])
    seen: set[str] = set()
    while waiting and len(seen) < MAX_HOPS:
        here = waiting.popleft()
        node = None if here in seen else nodes.visit(here)
        seen.add(here)
        if node is None:
            continue
        for name in names:
            value = _plain(nodes, node.inputs.get(name), name)
            if value is not None:
                return value
        sources = (link(node.inputs.get(name)) for name in carriers)
        waiting.extend(source for source in sources if source is not None)
    return None


def _plain(nodes: Graph, value: object, name: str) -> Any:
    """Return a plain value, or the plain value that a link leads to; None when there is none."""
    for _ in range(MAX_HOPS):
        source = link(value)
        if source is None:
            return value if isinstance(value, str | int | float) else None
        node = nodes.visit(source)
        if node is None:
            return None
        named = (node.inputs[key] for key in (name, *VALUE_NAMES) if key in node.inputs)
        value = next(named, None)
        if value is None:
            # A node that passes its input on has no value of its own.
            value = next((v for v in node.inputs.values() if link(v) is not None), None)
    return None


def _chain(nodes: Graph, key: str, inputs: tuple[str, ...]) -> Iterator[Node]:
    """Yield the node and the nodes behind it, following the first of these inputs that is a link."""
    here: str | None = key
    seen: set[str] = set()
    while here is not None and here not in seen and len(seen) < MAX_HOPS:
        seen.add(here)
        node = nodes.visit(here)
        if node is None:
            return
        yield node
        sources = (link(node.inputs.get(name)) for name in inputs)
        here = next((source for source in sources if source is not None), None)


def _size(nodes: Graph, key: str) -> tuple[Any, Any]:
    for node in _chain(nodes, key, TO_LATENT):
        width = _plain(nodes, node.inputs.get("width"), "width")
        height = _plain(nodes, node.inputs.get("height"), "height")
        if width is not None and height is not None:
            return width, height
    return None, None


def _model(nodes: Graph, key: str) -> tuple[object, list[str]]:
    """Return the name of the sampler's model, and the LoRAs that were added to it."""
    loras: list[str] = []
    for node in _chain(nodes, key, TO_MODEL):
        loras += _loras(node)
        for name in MODEL_NAMES:
            value = node.inputs.get(name)
            # Loader nodes with a preview keep the name in an object.
            value = value.get("content") if isinstance(value, dict) else value
            weights = _plain(nodes, value, name)
            if isinstance(weights, str):
                return model_of(weights)[0], loras
    return None, loras


def _loras(node: Node) -> list[str]:
    entries = [
        {"lora": node.inputs.get("lora_name"), "strength": node.inputs.get("strength_model")}
    ]
    # Loader nodes for several LoRAs keep an object for each.
    entries += [e for e in node.inputs.values() if isinstance(e, dict) and e.get("on") is True]
    found = []
    for entry in entries:
        name, strength = entry.get("lora"), entry.get("strength")
        if isinstance(name, str):
            weight = f":{strength}" if isinstance(strength, int | float) else ""
            found.append(name[:100] + weight)
    return found
