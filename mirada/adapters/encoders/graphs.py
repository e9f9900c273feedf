"""Makes the ONNX graphs of an OpenCLIP model's two towers. It needs PyTorch and the package `onnx`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mirada.kernel.errors import EncoderUnavailable

if TYPE_CHECKING:
    import onnx

OPSET = 18
SMALL_BYTES = 1024
"""Constants up to this size stay in the graph."""
NUMPY_TYPES = {"F16": np.float16, "F32": np.float32, "I64": np.int64}


class Stored(NamedTuple):
    """Where the bytes of a weight lie: the file's name, first byte, number of bytes, type and shape."""

    file: str
    offset: int
    length: int
    type: str
    shape: tuple[int, ...]


def export_tower(
    tower: Any, example: Any, path: Path, input_name: str, free_axes: Mapping[int, str]
) -> None:
    """Write the graph of one tower to `path`, with its weights inside.

    Args:
        tower: torch module in evaluation mode, from one tensor to (n, d) vectors.
        example: a tensor that it takes, of at least two rows.
        path: the file to write.
        input_name: the name of the input; the output is "vector".
        free_axes: the names of the input's axes of any length, by their number.
    """
    import torch

    from mirada.adapters.encoders.towers import written_plainly

    with warnings.catch_warnings(), torch.inference_mode(), written_plainly():
        # What is traced is computed again by the caller and compared.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            tower,
            (example,),
            str(path),
            input_names=[input_name],
            output_names=["vector"],
            dynamic_axes={
                input_name: dict(free_axes),
                "vector": {0: free_axes[0]} if free_axes else {},
            },
            opset_version=OPSET,
            dynamo=False,
            external_data=False,
            # Weights stay as they are stored, so that a graph may point at them there.
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )


def stored_weights(files: Sequence[Path]) -> dict[str, Stored]:
    """Return where each weight of some safetensors files lies, by its name.

    Raises:
        EncoderUnavailable: a file is no safetensors file.
    """
    found: dict[str, Stored] = {}
    for file in files:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            try:
                header = json.loads(stream.read(size))
            except ValueError as error:
                raise EncoderUnavailable(f"{file} is no safetensors file: {error}") from error
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                place = (file.name, 8 + size + start, end - start)
                found[name] = Stored(*place, entry["dtype"], tuple(entry["shape"]))
    return found


def point_at_weights(path: Path, files: Sequence[Path], prefix: str) -> None:
    """Let a graph read its weights from safetensors files beside it instead of holding a copy.

    A weight that is stored as float16 is read as such, and a Cast makes it float32, as PyTorch does
    when it loads the file. Rows of a table are taken before they are cast.

    Args:
        path: the graph, which is written again.
        files: the safetensors files, in the folder of the graph.
        prefix: what stands before the names of the files in the graph, such as "model.".

    Raises:
        EncoderUnavailable: a large weight of the graph lies in none of the files.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    stored = stored_weights(files)
    kept, lost = [], []
    casts: list[onnx.NodeProto] = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        place = stored.get(weight.name.removeprefix(prefix))
        if place is None or place.shape != values.shape or not _equal(values, place, path.parent):
            if values.nbytes > SMALL_BYTES:
                lost.append(weight.name)
            kept.append(weight)
            continue
        is_half = place.type == "F16" and values.dtype == np.float32
        if is_half:
            casts += _read_half(model.graph, weight.name)
        kept.append(_outside(f"{weight.name}.half" if is_half else weight.name, place))
    if lost:
        raise EncoderUnavailable(
            f"{path.name} has weights that are not in {', '.join(file.name for file in files)}: "
            f"{', '.join(lost[:5])}."
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    path.write_bytes(without_notes(model).SerializeToString(deterministic=True))


def put_weights_beside(path: Path) -> None:
    """Move the weights of a graph into a file beside it, which is mapped and not read at every start."""
    import onnx

    model = without_notes(onnx.load(str(path)))
    weights = f"{path.stem}.weights"
    path.unlink()
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=weights,
        size_threshold=SMALL_BYTES,
    )


def without_notes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph without what only helps to debug its export, which is much of its size."""
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        if node.name:
            node.ClearField("name")
    del model.graph.value_info[:]
    return model


def _equal(values: Any, place: Stored, folder: Path) -> bool:
    if place.type not in NUMPY_TYPES:
        return False
    with (folder / place.file).open("rb") as stream:
        stream.seek(place.offset)
        raw = np.frombuffer(stream.read(place.length), dtype=NUMPY_TYPES[place.type])
    return bool(np.array_equal(raw.astype(values.dtype), values.reshape(-1)))


def _outside(name: str, place: Stored) -> onnx.TensorProto:
    """Return a weight whose bytes lie in another file."""
    import onnx

    types = {"F16": onnx.TensorProto.FLOAT16, "F32": onnx.TensorProto.FLOAT}
    weight = onnx.TensorProto(name=name, dims=place.shape, data_location=onnx.TensorProto.EXTERNAL)
    weight.data_type = types.get(place.type, onnx.TensorProto.INT64)
    where = {"location": place.file, "offset": place.offset, "length": place.length}
    for key, value in where.items():
        weight.external_data.add(key=key, value=str(value))
    return weight


def _read_half(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """Return the nodes that make float32 of a float16 weight, for all nodes that use it.

    A table, of which a node takes rows, stays as it is: only the rows are cast.
    """
    import onnx
    from onnx import helper

    users = [node for node in graph.node if name in node.input]
    if all(user.op_type == "Gather" and user.input[0] == name for user in users):
        position = {id(node): place for place, node in enumerate(graph.node)}
        for user in users:
            user.input[0] = f"{name}.half"
            rows, user.output[0] = user.output[0], f"{user.output[0]}.half"
            cast = helper.make_node("Cast", [user.output[0]], [rows], to=onnx.TensorProto.FLOAT)
            graph.node.insert(position[id(user)] + 1, cast)
        return []
    return [helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)]
