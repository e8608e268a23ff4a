"""Programs and packages of others: starting LAMMPS, importing optional engines."""
