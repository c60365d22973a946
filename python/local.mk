# SPDX-License-Identifier: BSD-3-Clause
# The Python module: one file, which needs nothing but Python.

EXTRA_DIST += python/mblock.py
install_local += install-python
uninstall_local += uninstall-python
.PHONY: install-python uninstall-python
install-python:
	$(MKDIR_P) "$(DESTDIR)$(pythonmoduledir)"
	$(INSTALL_DATA) $(srcdir)/python/mblock.py \
	  "$(DESTDIR)$(pythonmoduledir)/mblock.py"
uninstall-python:
	rm -f "$(DESTDIR)$(pythonmoduledir)/mblock.py"
