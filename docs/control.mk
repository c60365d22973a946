# SPDX-License-Identifier: BSD-3-Clause
# The manuals of section 7: the control protocol, systemd's units, recipes.

EXTRA_DIST += docs/mblock-control.pod docs/mblock-recipes.pod \
	docs/mblock-systemd.pod

if HAVE_POD2MAN
man_MANS += docs/mblock-control.7 docs/mblock-recipes.7
if HAVE_SYSTEMD
man_MANS += docs/mblock-systemd.7
endif
endif
