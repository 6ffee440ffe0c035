"""Meshes for Blender and for printers: glTF, OBJ, STL."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray, Slice
from surfaceviz.render.export.height_field import harmless, height_field
from surfaceviz.render.export.mesh import Mesh, solid, surface_mesh
from surfaceviz.render.export.options import ExportOptions

_FLOAT, _UINT32 = 5126, 5125  # component types of glTF
_VERTICES, _INDICES = 34962, 34963  # its buffers' targets
_STL_HEADER = 80
_WIDTH = 2.0  # width of gltf and obj, whose unit has no meaning: that of Blender's own cube; ours
_PRINT = 100.0  # mm, width of stl; ours
_BASE = 0.03  # height of the base below the lowest point of stl, as a share of the width; ours


def write_obj(surface: Slice, options: ExportOptions, suffix: str) -> bytes:  # noqa: ARG001
    """Return a Wavefront OBJ of a surface."""
    field = height_field(surface, options)
    return obj(surface_mesh(field).scaled(_WIDTH / field.width), surface.title, field.words)


def write_gltf(surface: Slice, options: ExportOptions, suffix: str) -> bytes:
    """Return a glTF of a surface, in binary form for ``.glb``."""
    field = height_field(surface, options)
    write = glb if suffix == ".glb" else gltf
    return write(surface_mesh(field).scaled(_WIDTH / field.width), surface.title, field.words)


def write_stl(surface: Slice, options: ExportOptions, suffix: str) -> bytes:  # noqa: ARG001
    """Return a binary STL of the closed body below a surface."""
    field = height_field(surface, options)
    body = solid(surface_mesh(field).scaled(_PRINT / field.width), _BASE * _PRINT)
    return stl(body, f"millimetres, z up: {field.words['z']}")


def obj(mesh: Mesh, title: str, words: Mapping[str, str]) -> bytes:
    """Return a Wavefront OBJ with colours behind the coordinates, as Blender and MeshLab read them; z up."""
    lines = [f"# {_plain(title)}", *(f"# {key}: {_plain(text)}" for key, text in words.items()), "# z up"]
    vertices = np.hstack([mesh.points, mesh.colours])
    lines += ["v " + " ".join(f"{x:.9g}" for x in row) for row in vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.triangles + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def _plain(text: str) -> str:
    """Return a text that ends its line: a backslash at the end would go on with the next."""
    return harmless(text).replace("\\", "/")


def stl(mesh: Mesh, words: str) -> bytes:
    """Return a binary STL."""
    header = f"surfaceviz, {_plain(words)}".encode("ascii", "replace")[:_STL_HEADER].ljust(_STL_HEADER)
    corners = mesh.points[mesh.triangles].astype(np.float32)  # (m, 3, 3)
    facets = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    facets["corners"] = corners
    normals = _normals(mesh)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    facets["normal"] = normals / np.where(length > 0, length, 1.0)
    return header + struct.pack("<I", len(facets)) + facets.tobytes()


def _normals(mesh: Mesh) -> FloatArray:
    """Return each triangle's normal, as long as twice its area."""
    a, b, c = (mesh.points[mesh.triangles[:, k]] for k in range(3))
    return np.asarray(np.cross(b - a, c - a))


def gltf(mesh: Mesh, title: str, words: Mapping[str, str]) -> bytes:
    """Return a glTF 2.0 with its data inside, y up: x stays, y is the loss, z the way back, towards less beta."""
    scene, data = _scene(mesh, title, words)
    scene["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    return json.dumps(scene, indent=1).encode()


def glb(mesh: Mesh, title: str, words: Mapping[str, str]) -> bytes:
    """Return the same in glTF's binary form."""
    scene, data = _scene(mesh, title, words)
    text = json.dumps(scene).encode()
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def _scene(mesh: Mesh, title: str, words: Mapping[str, str]) -> tuple[dict[str, Any], bytes]:
    points = _y_up(mesh.points).astype("<f4")
    arrays: list[NDArray[Any]] = [
        points,
        _y_up(_point_normals(mesh)).astype("<f4"),
        _linear(mesh.colours).astype("<f4"),
        mesh.triangles.astype("<u4").reshape(-1, 1),
    ]
    accessors: list[dict[str, Any]] = [
        {"bufferView": i, "componentType": _FLOAT, "count": len(array), "type": "VEC3"}
        for i, array in enumerate(arrays)
    ]
    accessors[0] |= {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
    accessors[3] |= {"componentType": _UINT32, "type": "SCALAR"}
    ends = np.cumsum([array.nbytes for array in arrays]).tolist()
    views = [
        {"buffer": 0, "byteOffset": end - array.nbytes, "byteLength": array.nbytes, "target": _VERTICES}
        for end, array in zip(ends, arrays, strict=True)
    ]
    views[3]["target"] = _INDICES
    attributes = {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}
    name = harmless(title) or "surface"
    scene = {
        "asset": {"version": "2.0", "generator": "surfaceviz", "extras": {**words, "up": "y"}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": [{"attributes": attributes, "indices": 3, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 0.9}, "doubleSided": True}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": ends[-1]}],
    }
    return scene, b"".join(array.tobytes() for array in arrays)


def _y_up(vectors: FloatArray) -> FloatArray:
    """Return vectors turned, not mirrored, from z up to y up."""
    return np.stack([vectors[:, 0], vectors[:, 2], -vectors[:, 1]], axis=1)


def _point_normals(mesh: Mesh) -> FloatArray:
    """Return the normal at each point: that of its triangles, weighted by their areas."""
    sums = np.zeros_like(mesh.points)
    for k in range(3):
        np.add.at(sums, mesh.triangles[:, k], _normals(mesh))
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True))


def _linear(colours: FloatArray) -> FloatArray:
    """Return sRGB as the linear light that glTF's colours are. Source: IEC 61966-2-1."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004
