# SPDX-License-Identifier: BSD-3-Clause
# Tests of the whole: the manuals, the README, the examples.

system_tests = \
	tests/mramdisk/test-mramdisk-map-large.sh \
	tests/system/test-configure-32-bit.sh \
	tests/system/test-example-backup.sh \
	tests/system/test-example-boot.sh \
	tests/system/test-example-sandbox.sh \
	tests/system/test-example-upgrade.sh \
	tests/system/test-fresh-debian-lock.sh \
	tests/system/test-fresh-debian.sh \
	tests/system/test-ignored.sh \
	tests/system/test-layout.sh \
	tests/system/test-licence.sh \
	tests/system/test-manual-parameters.sh \
	tests/system/test-monitoring.sh \
	tests/system/test-podchecker.sh \
	tests/system/test-readme.sh \
	tests/system/test-recipe-block-device.sh \
	tests/system/test-recipe-libvirt.sh \
	tests/system/test-recipe-move.sh \
	tests/system/test-recipe-postgresql.sh \
	tests/system/test-recipe-pytest.sh \
	tests/system/test-recipe-qemu.sh \
	tests/system/test-recipes.sh \
	tests/system/test-release.sh \
	tests/system/test-rpm.sh \
	tests/system/test-systemd-units.sh \
	tests/system/test-workflow.sh

EXTRA_DIST += $(system_tests) tests/system/test-layout.py
# They load the plugins into nbdkit, which has no sanitizer.
if !SANITIZER
TESTS += $(system_tests)
endif
