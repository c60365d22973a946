# SPDX-License-Identifier: BSD-3-Clause
# The manual of the control protocol.

EXTRA_DIST += docs/mblock-control.pod

if HAVE_POD2MAN
man_MANS += docs/mblock-control.7
CLEANFILES += docs/mblock-control.7
docs/mblock-control.7: docs/mblock-control.pod
	$(AM_V_GEN) $(MKDIR_P) docs && \
	$(POD2MAN) --utf8 --section=7 --name=mblock-control \
	  --center="mblock" --release="mblock $(PACKAGE_VERSION)" \
	  $(srcdir)/docs/mblock-control.pod $@.tmp && mv $@.tmp $@
endif
