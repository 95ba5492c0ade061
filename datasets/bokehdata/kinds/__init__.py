"""The kinds of scenes. Each file here owns the document, the reading, the writing and the checks of one kind."""

from pathlib import Path

from bokehdata.documents import read_yaml, require_schema
from bokehdata.folder import SceneFolder
from bokehdata.format import SCENE_FILE, DatasetError
from bokehdata.kinds.billboards import BillboardFolder
from bokehdata.kinds.blb import BlbFolder
from bokehdata.kinds.camera import CameraFolder
from bokehdata.kinds.imported import ImportedFolder
from bokehdata.kinds.layers import LayersFolder
from bokehdata.kinds.light_field import LightFieldFolder
from bokehdata.stored import StoredScene, folder_of

# By the `kind` of `scene.yaml`.
DESCRIBED_KINDS = {
    folder.kind: folder for folder in (BillboardFolder, CameraFolder, LightFieldFolder, LayersFolder, ImportedFolder)
}


def open_scene(where: Path | str | StoredScene) -> SceneFolder:
    """Open the folder of one scene as its kind, or a scene in a store; a folder without `scene.yaml` is one of BLB.

    DatasetError for a `scene.yaml` that cannot be read, has another schema or an unknown kind.
    """
    where = Path(where) if isinstance(where, str) else where
    document_path = folder_of(where) / SCENE_FILE
    if isinstance(where, Path) and not document_path.is_file():
        return BlbFolder(where)
    document = read_yaml(document_path)
    require_schema(document_path, document)
    # Datasets of version 0.1 have no `kind`.
    kind = document.get("kind", CameraFolder.kind if "camera" in document else BillboardFolder.kind)
    if not (isinstance(kind, str) and kind in DESCRIBED_KINDS):
        known = ", ".join(DESCRIBED_KINDS)
        raise DatasetError(f"{document_path}: kind is {kind!r}, this version reads {known}; use a matching version")
    return DESCRIBED_KINDS[kind](where, document)
