# SPDX-License-Identifier: BSD-3-Clause
# The manuals, and tests of them.

PODS = \
	docs/nbdkit-mnbd-filter.pod \
	docs/nbdkit-mnbd-plugin.pod \
	docs/nbdkit-mramdisk-plugin.pod
EXTRA_DIST += docs/ARCHITECTURE.md docs/SCALE.md $(PODS)

if HAVE_POD2MAN
man_MANS += docs/nbdkit-mnbd-filter.1 docs/nbdkit-mnbd-plugin.1 \
	docs/nbdkit-mramdisk-plugin.1
CLEANFILES += $(man_MANS)
endif

SUFFIXES = .pod .1 .7
.pod.1:
	$(AM_V_GEN) $(MKDIR_P) $(@D) && \
	$(POD2MAN) --utf8 --section=1 --name=$(basename $(notdir $@)) \
	  --center="mblock" --release="mblock $(PACKAGE_VERSION)" $< $@.tmp && \
	mv $@.tmp $@
.pod.7:
	$(AM_V_GEN) $(MKDIR_P) $(@D) && \
	$(POD2MAN) --utf8 --section=7 --name=$(basename $(notdir $@)) \
	  --center="mblock" --release="mblock $(PACKAGE_VERSION)" $< $@.tmp && \
	mv $@.tmp $@
