# SPDX-License-Identifier: BSD-3-Clause
# The command-line tool.

bin_PROGRAMS += mblockctl
mblockctl_SOURCES = \
	tools/cache.c \
	tools/client.c \
	tools/client.h \
	tools/disks.c \
	tools/histogram.c \
	tools/histogram.h \
	tools/map.c \
	tools/mblockctl.c \
	tools/mblockctl.h \
	tools/metrics.c \
	tools/mirror.c \
	tools/progress.c \
	tools/progress.h \
	tools/rpc.c \
	tools/rpc.h \
	tools/server.c \
	tools/show.c \
	tools/stats.c \
	tools/stats.h \
	tools/table.c \
	tools/table.h \
	tools/terminal.c \
	tools/terminal.h \
	tools/text.c \
	tools/text.h \
	tools/top.c \
	tools/watch.c
mblockctl_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tools
mblockctl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
mblockctl_LDADD = libmblock-common.la $(JANSSON_LIBS)

# Completion for bash, under the name by which bash looks for it.
EXTRA_DIST += tools/mblockctl.bash-completion
install-data-local: install-bash-completion
uninstall-local: uninstall-bash-completion
.PHONY: install-bash-completion uninstall-bash-completion
install-bash-completion:
	$(MKDIR_P) "$(DESTDIR)$(bashcompletiondir)"
	$(INSTALL_DATA) $(srcdir)/tools/mblockctl.bash-completion \
	  "$(DESTDIR)$(bashcompletiondir)/mblockctl"
uninstall-bash-completion:
	rm -f "$(DESTDIR)$(bashcompletiondir)/mblockctl"

# The manual; docs/local.mk knows how to make it.
PODS += docs/mblockctl.pod
if HAVE_POD2MAN
man_MANS += docs/mblockctl.1
endif

TESTS += \
	tests/test-mblockctl-commands.sh \
	tests/test-mblockctl-completion.sh \
	tests/test-mblockctl-errors.sh \
	tests/test-mblockctl-metrics.sh \
	tests/test-mblockctl-names.sh \
	tests/test-mblockctl-server.sh \
	tests/test-mblockctl-terminal.sh \
	tests/test-mblockctl-usage.sh \
	tests/test-mblockctl-watch.sh
EXTRA_DIST += \
	tests/fake-control.py \
	tests/mblockctl.sh \
	tests/mblockctl-terminal.py \
	tests/test-mblockctl-commands.sh \
	tests/test-mblockctl-completion.sh \
	tests/test-mblockctl-errors.sh \
	tests/test-mblockctl-metrics.sh \
	tests/test-mblockctl-names.sh \
	tests/test-mblockctl-server.sh \
	tests/test-mblockctl-terminal.sh \
	tests/test-mblockctl-usage.sh \
	tests/test-mblockctl-watch.sh
