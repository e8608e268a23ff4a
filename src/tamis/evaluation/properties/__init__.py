"""Physical properties of a crystal, one small file each."""
