"""placeholder"""


def open_scene(path, *, camera, frame):
    return []
