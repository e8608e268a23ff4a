"""What files that tamis does not read look like, and what it would take to read them."""

from __future__ import annotations

from pathlib import Path

from tamis.data.readers.cp2k import is_beside_cp2k
from tamis.data.readers.npz import names_in

WITHOUT_LABELS = {
    "vasp": "a POSCAR or CONTCAR",
    "vasp-xdatcar": "an XDATCAR",
    "lammps-data": "a data file of LAMMPS",
    "lammps-dump-text": "a dump of LAMMPS",
    "lammps-dump-binary": "a binary dump of LAMMPS",
    "cif": "a CIF file",
    "proteindatabank": "a PDB file",
    "cp2k-dcd": "a DCD trajectory",
    "cp2k-restart": "a restart file of CP2K",
    "aims": "a geometry.in of FHI-aims",
    "espresso-in": "an input of Quantum ESPRESSO",
}
"""ASE's name of a format that holds structures alone -> what it is."""
SCRIPT = (
    "make an ase.Atoms of each structure with energy in info and forces in arrays, and write them all with "
    "ase.io.write('set.extxyz', frames)"
)
UNPACK = "unpack it, and name the files in it"
AGAIN = "the download brought a page in place of the file; download it again"
MD17 = "write atomic numbers, positions, energies and forces into one .npz, called z, R, E, F as in MD17"
OF_CP2K = (
    "name the trajectory <project>-pos-1.xyz instead (docs/data.md), or convert the output: "
    "dpdata.LabeledSystem(file, fmt='cp2k/output').to('deepmd/npy', folder)"
)
SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"open it with h5py, {SCRIPT}"),
    (0, b"PAR1", "a Parquet file", f"open it with pandas.read_parquet, {SCRIPT}"),
    (16, b"\xde\xc0\xef\xbe", "an LMDB database", f"open it with the program that wrote it, {SCRIPT}"),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a file that zstd has compressed", UNPACK),
    (0, b"PK", "a zip archive, or a file of PyTorch", f"{UNPACK}; or open it with torch.load, {SCRIPT}"),
    (0, b"\x93NUMPY", "a single NumPy array", MD17),
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS in place of the file",
        "git lfs pull brings the file",
    ),
    (0, b"<!doctype html", "a web page", AGAIN),
    (0, b"<html", "a web page", AGAIN),
)
"""Place, bytes that stand there, what the file looks like, and what it would take to read it."""
WORDS: tuple[tuple[bytes, str, str], ...] = (
    (b"DBCSR|", "an output of CP2K", OF_CP2K),
    (b"CP2K|", "an output of CP2K", OF_CP2K),
    (b"ITEM: TIMESTEP", "a dump of LAMMPS", "it has no energies, so there is nothing to train on"),
)
"""Words at the beginning of a file, what it looks like, and what it would take to read it."""


def looks_like(path: Path, head: bytes) -> str:
    """A sentence on what ``path`` looks like and what it would take to read it; empty: nothing that is known.

    Parameters
    ----------
    head : the first bytes of its content, unpacked.
    """
    if path.is_file() and path.stat().st_size == 0:
        return f"{path} is empty and holds no structure; remove it from dataset.train or dataset.test"
    if is_beside_cp2k(path, head):
        return f"{path} holds forces or velocities of CP2K; name <project>-pos-1.xyz, and these are found"
    if names := names_in(path, head):
        return f"{path} is an .npz file with {', '.join(sorted(names))}, whose layout is not known: {MD17}"
    for place, signature, what, way in SIGNATURES:
        if head[place : place + len(signature)].lower() == signature.lower():
            return f"{path} looks like {what}, which tamis does not read: {way}"
    for word, what, way in WORDS:
        if word in head:
            return f"{path} looks like {what}, which tamis does not read: {way}"
    return ""


def without_labels(path: Path, name: str) -> str:
    """A sentence if the format ``name`` holds no energies and forces; else empty."""
    if name not in WITHOUT_LABELS:
        return ""
    return (
        f"{path} looks like {WITHOUT_LABELS[name]}, which holds structures without energies and forces; name the file "
        "with the results of the run instead, such as vasprun.xml, OUTCAR or the output of pw.x"
    )
