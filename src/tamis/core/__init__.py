"""Words that everything uses: errors, units, files, checks of what a user gives."""
