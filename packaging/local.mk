# SPDX-License-Identifier: BSD-3-Clause
# systemd's units, and the sources of packages.

systemd_units = \
	packaging/systemd/mnbd@.socket \
	packaging/systemd/mramdisk@.socket \
	packaging/systemd/run-mblock.mount
systemd_services = \
	packaging/systemd/mnbd@.service \
	packaging/systemd/mramdisk@.service
EXTRA_DIST += $(systemd_units) $(systemd_services:=.in) \
	packaging/systemd/mblock.sysusers \
	packaging/systemd/mblock.tmpfiles \
	packaging/systemd/mnbd.conf \
	packaging/systemd/mramdisk.conf
EXTRA_DIST += \
	packaging/debian/changelog \
	packaging/debian/control \
	packaging/debian/copyright \
	packaging/debian/mblock-doc.docs \
	packaging/debian/mblock-doc.examples \
	packaging/debian/mblock-doc.manpages \
	packaging/debian/mblock-tools.dirs \
	packaging/debian/mblock-tools.examples \
	packaging/debian/mblock-tools.install \
	packaging/debian/mblock-tools.manpages \
	packaging/debian/mblock-tools.postinst \
	packaging/debian/mblock-tools.prerm \
	packaging/debian/nbdkit-filter-mnbd.install \
	packaging/debian/nbdkit-filter-mnbd.manpages \
	packaging/debian/nbdkit-plugin-mnbd.install \
	packaging/debian/nbdkit-plugin-mnbd.manpages \
	packaging/debian/nbdkit-plugin-mramdisk.install \
	packaging/debian/nbdkit-plugin-mramdisk.manpages \
	packaging/debian/rules \
	packaging/debian/source/format \
	packaging/debian/tests/control \
	packaging/debian/tests/plugins \
	packaging/debian/tests/tools \
	packaging/rpm/macros.fedora \
	packaging/rpm/mblock.spec \
	packaging/rpm/rpmlint.toml

# plugindir names other directories, which only make knows.
$(systemd_services): %: %.in Makefile
	$(AM_V_GEN) $(MKDIR_P) $(@D) && \
	sed 's|@plugindir[@]|$(plugindir)|g' $(srcdir)/$@.in >$@.tmp && \
	mv $@.tmp $@
CLEANFILES += $(systemd_services)

if HAVE_SYSTEMD
all_local += $(systemd_services)
install_local += install-systemd
uninstall_local += uninstall-systemd
endif
.PHONY: install-systemd uninstall-systemd
install-systemd: $(systemd_services)
	$(MKDIR_P) "$(DESTDIR)$(systemdsystemunitdir)" \
	  "$(DESTDIR)$(sysusersdir)" "$(DESTDIR)$(tmpfilesdir)"
	for u in $(systemd_units); do \
	  $(INSTALL_DATA) "$(srcdir)/$$u" "$(DESTDIR)$(systemdsystemunitdir)" \
	    || exit 1; \
	done
	for u in $(systemd_services); do \
	  $(INSTALL_DATA) "$$u" "$(DESTDIR)$(systemdsystemunitdir)" || exit 1; \
	done
	$(INSTALL_DATA) "$(srcdir)/packaging/systemd/mblock.sysusers" \
	  "$(DESTDIR)$(sysusersdir)/mblock.conf"
	$(INSTALL_DATA) "$(srcdir)/packaging/systemd/mblock.tmpfiles" \
	  "$(DESTDIR)$(tmpfilesdir)/mblock.conf"
uninstall-systemd:
	for u in $(systemd_units) $(systemd_services); do \
	  rm -f "$(DESTDIR)$(systemdsystemunitdir)/$${u##*/}"; \
	done
	rm -f "$(DESTDIR)$(sysusersdir)/mblock.conf" \
	  "$(DESTDIR)$(tmpfilesdir)/mblock.conf"
