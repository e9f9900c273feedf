"""ComfyUI: from the picture back to the sampler that began it, and what that was told.

A file holds the whole graph that was run and not what it means. Of several samplers in a row the
first made the picture and the others refined it; so what is told is the first one's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from mirada.file_metadata import graph
from mirada.file_metadata.conditioning import prompt_of
from mirada.file_metadata.flat import model_of
from mirada.file_metadata.graph import Graph, Node, link
from mirada.file_metadata.texts import Found, Texts, json_object

RUN_SOURCES = ("prompt", "exif:Model", "exif:UserComment", "exif:ImageDescription", "comment")
DRAWING_SOURCES = ("workflow", "exif:Make", "exif:ImageDescription", "exif:UserComment")
"""PNG has keywords; into EXIF ComfyUI and its savers write "prompt:{...}" and "workflow:{...}"."""
MAX_SAMPLERS = 20
"""How many are asked for a prompt."""
MAX_HOPS = 200
SIDE_INPUTS = frozenset(
    {"model", "clip", "vae", "positive", "negative", "conditioning", "guider", "sigmas", "sampler"}
    | {"noise", "control_net", "clip_vision", "style_model", "seed", "noise_seed", "text", "steps"}
    | {"cfg", "sampler_name", "scheduler", "denoise", "width", "height"}
)
"""What a sampler or a later step needs beside the picture that it works on."""
CARRIERS = ("guider", "sigmas", "sampler", "noise", "pipe", "basic_pipe", "context", "settings")
"""Inputs of a sampler behind which the rest of its settings stand."""
TO_LATENT = ("latent_image", "latent", "samples", "pipe", "basic_pipe", "")
TO_MODEL = ("model", "guider", "model1", "unet", "pipe", "basic_pipe", "context", "")
"""Which input leads on, the likeliest first; the one of a reroute has no name."""
MODEL_NAMES = ("ckpt_name", "unet_name", "base_ckpt_name", "model_name", "gguf_name", "model_path")
VALUE_NAMES = ("value", "seed", "noise_seed", "int", "float", "number", "Number", "string", "text")


def read(texts: Texts) -> Found | None:
    """Return what the first graph tells that has a sampler."""
    for _, text in texts.of(RUN_SOURCES):
        found = _read_graph(Graph(graph.from_run(_labelled(text, "prompt"))))
        if found is not None:
            return found
    for _, text in texts.of(DRAWING_SOURCES):
        found = _read_graph(Graph(graph.from_drawing(_labelled(text, "workflow"))))
        if found is not None:
            return found
    return None


def _labelled(text: str, label: str) -> dict[str, Any]:
    """Return the JSON object of a text, be it after a label, under that label, or bare."""
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
    """Yield samplers, those that began a picture first; pictures that were saved come first."""
    seen: set[str] = set()
    for end in sorted(nodes.ends(), key=lambda key: "save" not in nodes.kind(key).lower()):
        yield from reversed(_samplers_behind(nodes, end, seen))
    # A circle has no end.
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
        for name, value in node.inputs.items():
            source = link(value)
            if source is not None and name.lower() not in SIDE_INPUTS:
                waiting.append(source)
    return found


def _samples(node: Node) -> bool:
    """Return whether a node turns noise into a picture, by what it asks for."""
    names = node.inputs.keys()
    if "guider" in names:
        return "sigmas" in names or "sampler" in names
    if "sampler_name" in names and {"steps", "cfg"} & names:
        return True
    is_conditioned = {"positive", "conditioning", "text_embeds"} & names
    return bool(is_conditioned and {"steps", "sigmas", "seed", "noise_seed"} & names)


def _values(nodes: Graph, key: str) -> dict[str, Any]:
    """Return the settings of one sampler under the names of `Generation`."""
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
    """Return the nearest value of one of these names, here or behind the carrying inputs."""
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
    """Return a value that stands here, or that a link leads to; None when there is none."""
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
            # A node that only passes on has one input.
            value = next((v for v in node.inputs.values() if link(v) is not None), None)
    return None


def _chain(nodes: Graph, key: str, inputs: tuple[str, ...]) -> Iterator[Node]:
    """Yield the node and those behind it, along the first of these inputs that leads on."""
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
    """Return the weights that the sampler's model began with, and what was added to them."""
    loras: list[str] = []
    for node in _chain(nodes, key, TO_MODEL):
        loras += _loras(node)
        for name in MODEL_NAMES:
            value = node.inputs.get(name)
            # Loaders with a preview keep the name in an object.
            value = value.get("content") if isinstance(value, dict) else value
            weights = _plain(nodes, value, name)
            if isinstance(weights, str):
                return model_of(weights)[0], loras
    return None, loras


def _loras(node: Node) -> list[str]:
    entries = [
        {"lora": node.inputs.get("lora_name"), "strength": node.inputs.get("strength_model")}
    ]
    # Loaders of several keep an object for each.
    entries += [e for e in node.inputs.values() if isinstance(e, dict) and e.get("on") is True]
    found = []
    for entry in entries:
        name, strength = entry.get("lora"), entry.get("strength")
        if isinstance(name, str):
            weight = f":{strength}" if isinstance(strength, int | float) else ""
            found.append(name[:100] + weight)
    return found
