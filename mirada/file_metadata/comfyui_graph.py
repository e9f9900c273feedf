"""Builds a graph from ComfyUI's two formats: `prompt`, as it ran, and `workflow`, as its editor shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

MAX_NODES = 5_000
"""Ten times the nodes of large workflows that people share."""
MAX_INPUTS = 200
"""Inputs of one node; a bound against hostile graphs, chosen here."""
MAX_LINKS = 20_000
"""Four links for each of MAX_NODES."""
MAX_EFFORT = 200_000
"""Visits and inputs read in them, of one graph. A workflow of 500 nodes takes about 10,000."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a workflow.

    Attributes:
        kind: the class of the node, e.g. "KSampler".
        inputs: values by name; a link to another node's output is a list of its id and the slot.
    """

    kind: str
    inputs: Mapping[str, Any]


class Graph:
    """Nodes by id, with a limit on visits, because hostile graphs are dense."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        """Keep the nodes; their links are not checked."""
        self._nodes = nodes
        self._left = MAX_EFFORT

    def visit(self, key: str | None) -> Node | None:
        """Return a node; None when no node has this id, or the limit on visits is reached."""
        node = None if key is None else self._nodes.get(key)
        if node is None or self._left <= 0:
            return None
        self._left -= 1 + len(node.inputs)
        return node

    def items(self) -> Iterable[tuple[str, Node]]:
        """Return (id, node) of every node."""
        return self._nodes.items()

    def kind(self, key: str) -> str:
        """Return the class of a node. Raises KeyError for an unknown id."""
        return self._nodes[key].kind

    def ends(self) -> list[str]:
        """Return the ids of nodes that lead nowhere: those that save or show pictures."""
        nodes = self._nodes.values()
        linked = {link(value) for node in nodes for value in node.inputs.values()}
        return [key for key in self._nodes if key not in linked]


WIDGETS = {
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeSDXL": (
        *("width", "height", "crop_w", "crop_h", "target_width", "target_height"),
        *("text_g", "text_l"),
    ),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        *("add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"),
        *("start_at_step", "end_at_step"),
    ),
    "SamplerCustom": ("add_noise", "noise_seed", "", "cfg"),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "CFGGuider": ("cfg",),
    "FluxGuidance": ("guidance",),
    "EmptyLatentImage": ("width", "height"),
    "EmptySD3LatentImage": ("width", "height"),
    "PrimitiveNode": ("value",),
}
"""Names of the values of known nodes in a `workflow`, in order. "" is the rule that changes the seed
after a run."""


def link(value: object) -> str | None:
    """Return the id of the node that an input is linked to; None for a plain value."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int):
        return _id(value[0])
    return None


def from_run(data: Mapping[Any, Any]) -> dict[str, Node]:
    """Return the nodes of a `prompt` by id; entries that are not nodes are left out."""
    return {
        str(key): Node(
            _kind(node.get("class_type")), dict(islice(node["inputs"].items(), MAX_INPUTS))
        )
        for key, node in islice(data.items(), MAX_NODES)
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict)
    }


def from_workflow(data: Mapping[Any, Any]) -> dict[str, Node]:
    """Return the nodes of a `workflow` by id, without muted ones; subgraphs are not opened."""
    nodes, links = data.get("nodes"), data.get("links")
    sources: dict[Any, list[Any]] = {}
    for entry in links[:MAX_LINKS] if isinstance(links, list) else []:
        # [link, from node, from slot, to node, to slot, type]; newer files have an object with names.
        if isinstance(entry, dict):
            entry = [entry.get("id"), entry.get("origin_id"), entry.get("origin_slot")]
        if isinstance(entry, list) and len(entry) >= 3 and isinstance(entry[0], int):
            sources[entry[0]] = [entry[1], entry[2]]
    graph: dict[str, Node] = {}
    for node in nodes[:MAX_NODES] if isinstance(nodes, list) else []:
        key = _id(node.get("id")) if isinstance(node, dict) else None
        if key is not None and node.get("mode") not in (2, 4):
            graph[key] = Node(_kind(node.get("type")), _workflow_inputs(node, sources))
    return graph


def _workflow_inputs(node: dict[str, Any], sources: Mapping[Any, list[Any]]) -> dict[str, Any]:
    values = node.get("widgets_values")
    inputs: dict[str, Any] = {}
    names: list[str] = []
    sockets = node.get("inputs")
    for socket in sockets[:MAX_INPUTS] if isinstance(sockets, list) else []:
        name = socket.get("name") if isinstance(socket, dict) else None
        if not isinstance(name, str):
            continue
        if isinstance(socket.get("widget"), dict):
            names += [name, ""] if name in ("seed", "noise_seed") else [name]
        number = socket.get("link")
        if isinstance(number, int) and number in sources:
            inputs[name] = sources[number]
    if isinstance(values, dict):
        values, names = list(values.values()), [str(name) for name in values]
    known = WIDGETS.get(_kind(node.get("type")))
    if isinstance(values, list):
        for name, value in zip(known or names, values[:MAX_INPUTS], strict=False):
            if name:
                inputs.setdefault(name, value)
        if not known and not names:
            # An unknown node: any text in it may be a prompt.
            texts = (value for value in values[:MAX_INPUTS] if isinstance(value, str))
            inputs.update({f"text {number}": text for number, text in enumerate(texts)})
    return inputs


def _id(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else None
    return value[:200]


def _kind(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
