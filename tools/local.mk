# SPDX-License-Identifier: BSD-3-Clause
# The command-line tool.

bin_PROGRAMS += mblockctl
mblockctl_SOURCES = \
	tools/batch.c \
	tools/batch.h \
	tools/cache.c \
	tools/client.c \
	tools/client.h \
	tools/clone-together.c \
	tools/complain.c \
	tools/complain.h \
	tools/complete.c \
	tools/complete.h \
	tools/create-from.c \
	tools/create-from.h \
	tools/disk-clients.c \
	tools/disk-clients.h \
	tools/disks.c \
	tools/find-socket.c \
	tools/find-socket.h \
	tools/histogram.c \
	tools/histogram.h \
	tools/image-server.c \
	tools/image-server.h \
	tools/job.c \
	tools/job.h \
	tools/list.c \
	tools/map.c \
	tools/mblockctl.c \
	tools/mblockctl.h \
	tools/metrics.c \
	tools/mirror.c \
	tools/names.c \
	tools/progress.c \
	tools/progress.h \
	tools/push.c \
	tools/rpc.c \
	tools/rpc.h \
	tools/server.c \
	tools/save.c \
	tools/select.c \
	tools/select.h \
	tools/settings.h \
	tools/show.c \
	tools/server-stats.c \
	tools/server-stats.h \
	tools/table.c \
	tools/table.h \
	tools/terminal.c \
	tools/terminal.h \
	tools/text.c \
	tools/text.h \
	tools/top.c \
	tools/watch.c
mblockctl_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(MICROHTTPD_CFLAGS)
mblockctl_LDADD = libmblock-base.la $(JANSSON_LIBS) $(MICROHTTPD_LIBS)
if HAVE_MICROHTTPD
mblockctl_SOURCES += tools/exporter.c
endif

# Completion, under the names by which the shells look for it.
EXTRA_DIST += tools/mblockctl.bash-completion tools/mblockctl.zsh-completion \
	tools/mblockctl.fish-completion
install_local += install-completion
uninstall_local += uninstall-completion
.PHONY: install-completion uninstall-completion
install-completion:
	$(MKDIR_P) "$(DESTDIR)$(bashcompletiondir)" \
	  "$(DESTDIR)$(zshcompletiondir)" "$(DESTDIR)$(fishcompletiondir)"
	$(INSTALL_DATA) $(srcdir)/tools/mblockctl.bash-completion \
	  "$(DESTDIR)$(bashcompletiondir)/mblockctl"
	$(INSTALL_DATA) $(srcdir)/tools/mblockctl.zsh-completion \
	  "$(DESTDIR)$(zshcompletiondir)/_mblockctl"
	$(INSTALL_DATA) $(srcdir)/tools/mblockctl.fish-completion \
	  "$(DESTDIR)$(fishcompletiondir)/mblockctl.fish"
uninstall-completion:
	rm -f "$(DESTDIR)$(bashcompletiondir)/mblockctl" \
	  "$(DESTDIR)$(zshcompletiondir)/_mblockctl" \
	  "$(DESTDIR)$(fishcompletiondir)/mblockctl.fish"

# The manual; docs/local.mk knows how to make it.
PODS += docs/mblockctl.pod
if HAVE_POD2MAN
man_MANS += docs/mblockctl.1
endif
