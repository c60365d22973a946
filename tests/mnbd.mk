# SPDX-License-Identifier: BSD-3-Clause
# mnbd, through nbdkit, with upstreams of all kinds and faults.

# Its upstreams and its client; mnbd-functions.sh says how they are used.
check_PROGRAMS += tests/nbd-shadow tests/nbd-volatile-server
tests_nbd_shadow_SOURCES = tests/nbd-shadow.c
tests_nbd_shadow_CFLAGS = $(AM_CFLAGS) $(LIBNBD_CFLAGS)
tests_nbd_shadow_LDADD = $(LIBNBD_LIBS)
tests_nbd_volatile_server_SOURCES = tests/nbd-volatile-server.c

EXTRA_DIST += \
	tests/mnbd-functions.sh \
	tests/mnbdtest.py \
	tests/nbd-fault-server.py \
	tests/stress-mnbd.sh

mnbd_tests = \
	tests/test-mnbd-bad-parameters.sh \
	tests/test-mnbd-block-size.sh \
	tests/test-mnbd-compat-address.sh \
	tests/test-mnbd-compat-command.sh \
	tests/test-mnbd-compat-dynamic-export.sh \
	tests/test-mnbd-compat-socket-fd.sh \
	tests/test-mnbd-compat-tls-certificates.sh \
	tests/test-mnbd-compat-tls-psk.sh \
	tests/test-mnbd-compat-vsock.sh \
	tests/test-mnbd-extents.sh \
	tests/test-mnbd-failover.sh \
	tests/test-mnbd-fault-changed-harmlessly.sh \
	tests/test-mnbd-fault-changed.sh \
	tests/test-mnbd-fault-errors.sh \
	tests/test-mnbd-fault-handshake-hangs.sh \
	tests/test-mnbd-fault-handshake.sh \
	tests/test-mnbd-fault-late-tls.sh \
	tests/test-mnbd-fault-late.sh \
	tests/test-mnbd-fault-mid-reply.sh \
	tests/test-mnbd-fault-never-answers.sh \
	tests/test-mnbd-fault-shuts-down.sh \
	tests/test-mnbd-fault-no-server.sh \
	tests/test-mnbd-fault-out-of-order.sh \
	tests/test-mnbd-fault-outage-too-long.sh \
	tests/test-mnbd-figures.sh \
	tests/test-mnbd-flush-error.sh \
	tests/test-mnbd-interop.sh \
	tests/test-mnbd-kill-ext4.sh \
	tests/test-mnbd-kill-fio.sh \
	tests/test-mnbd-pass-on.sh \
	tests/test-mnbd-pool.sh \
	tests/test-mnbd-replay-full.sh \
	tests/test-mnbd-replay-off.sh \
	tests/test-mnbd-replay-order.sh \
	tests/test-mnbd-shutdown.sh \
	tests/test-mnbd-split.sh \
	tests/test-mnbd-stress.sh \
	tests/test-mnbd-volatile-control.sh \
	tests/test-mnbd-volatile.sh

EXTRA_DIST += $(mnbd_tests)
if !SANITIZER
TESTS += $(mnbd_tests)
endif
