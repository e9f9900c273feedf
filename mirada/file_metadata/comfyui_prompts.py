"""Gathers a sampler's prompt from the nodes of a ComfyUI graph that lead to it."""

from __future__ import annotations

from mirada.file_metadata.comfyui_graph import Graph, Node, link
from mirada.kernel.user_text import MAX_TEXT_CHARS

MAX_DEPTH = 100
"""Nodes between a sampler and its prompt, at most; real workflows have about ten."""
NO_TEXT_INPUTS = frozenset(
    {"model", "clip", "vae", "image", "images", "pixels", "mask", "control_net", "clip_vision"}
    | {"style_model", "clip_vision_output", "samples", "latent", "latent_image", "noise", "sigmas"}
)
"""Inputs that never lead to a prompt."""
TEXT_INPUTS = frozenset({"clip_l", "clip_g", "t5xxl", "bert", "mt5xl", "value", "populated_text"})
"""Inputs that hold prompts though their names do not say so; the first five are text encoders."""
PIPES = ("text_embeds", "pipe", "basic_pipe", "context")
"""Inputs that bundle several values, a prompt among them."""
MAX_DELIMITER_CHARS = 10
"""A delimiter is a comma or a line end; a longer text under that name is not one. Chosen here."""


def prompt_of(nodes: Graph, key: str, want: str) -> str | None:
    """Return a sampler's positive or negative prompt; None when it has none.

    Args:
        nodes: the graph.
        key: the sampler's id.
        want: "positive" or "negative".
    """
    sampler = nodes.visit(key)
    if sampler is None:
        return None
    guider = nodes.visit(link(sampler.inputs.get("guider")))
    inputs = {**(guider.inputs if guider else {}), **sampler.inputs}
    conditionings = ("positive", "conditioning", "cond1") if want == "positive" else ("negative",)
    for name in (*conditionings, *PIPES):
        value = inputs.get(name)
        parts = [value] if isinstance(value, str) else _texts(nodes, link(value), want, set(), 0)
        # The same prompt often goes into both text encoders of a model.
        distinct = dict.fromkeys(part.strip() for part in parts if part.strip())
        if distinct:
            return "\n".join(distinct)
    return None


def _texts(nodes: Graph, key: str | None, want: str, seen: set[str], depth: int) -> list[str]:
    """Return the texts that lead to a node, in the order of its inputs."""
    if key is None or key in seen or depth > MAX_DEPTH:
        return []
    seen.add(key)
    node = nodes.visit(key)
    # ConditioningZeroOut discards the prompt that leads to it.
    if node is None or node.kind == "ConditioningZeroOut":
        return []
    own = _own_texts(nodes, node, want, seen, depth)
    if own:
        return own
    found: list[str] = []
    found_chars = 0
    for name, value in node.inputs.items():
        source = link(value)
        if source is None or name.lower() in NO_TEXT_INPUTS or _is_other(name, want):
            continue
        more = _texts(nodes, source, want, seen, depth + 1)
        found += more
        # Only new texts are counted: thousands of links may lead to nothing new.
        found_chars += sum(map(len, more))
        if found_chars > MAX_TEXT_CHARS:
            break
    return found


def _own_texts(nodes: Graph, node: Node, want: str, seen: set[str], depth: int) -> list[str]:
    populated = node.inputs.get("populated_text")
    if isinstance(populated, str) and populated.strip():
        # The prompt after its wildcards were filled; the text beside it still has them.
        return [populated]
    found: list[str] = []
    for name, value in node.inputs.items():
        if not _is_text_input(name, want):
            continue
        if isinstance(value, str):
            found += [value] if value.strip() else []
        else:
            found += _texts(nodes, link(value), want, seen, depth + 1)
    delimiter = node.inputs.get("delimiter")
    if len(found) > 1 and isinstance(delimiter, str) and len(delimiter) <= MAX_DELIMITER_CHARS:
        return [delimiter.join(found)]
    return found


def _is_text_input(name: str, want: str) -> bool:
    lower = name.lower()
    if _is_other(name, want) or "encoder" in lower or lower.startswith("system"):
        return False
    if lower in TEXT_INPUTS or lower == want:
        return True
    return lower.startswith(("text", "prompt", "string")) or lower.endswith(("text", "prompt"))


def _is_other(name: str, want: str) -> bool:
    return ("negative" if want == "positive" else "positive") in name.lower()
