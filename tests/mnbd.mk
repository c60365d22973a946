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
	tests/mnbd-identity-functions.sh \
	tests/mnbdtest.py \
	tests/tell.py \
	tests/nbd-fault-server.py \
	tests/stress-mnbd.sh

mnbd_tests = \
	tests/mnbd/test-mnbd-bad-parameters.sh \
	tests/mnbd/test-mnbd-block-size-odd.sh \
	tests/mnbd/test-mnbd-block-size.sh \
	tests/mnbd/test-mnbd-compat-address.sh \
	tests/mnbd/test-mnbd-compat-command.sh \
	tests/mnbd/test-mnbd-compat-dynamic-export.sh \
	tests/mnbd/test-mnbd-compat-socket-fd.sh \
	tests/mnbd/test-mnbd-compat-tls-certificates.sh \
	tests/mnbd/test-mnbd-compat-tls-psk.sh \
	tests/mnbd/test-mnbd-compat-vsock.sh \
	tests/mnbd/test-mnbd-contradictions.sh \
	tests/mnbd/test-mnbd-extents-blocks.sh \
	tests/mnbd/test-mnbd-extended-headers.sh \
	tests/mnbd/test-mnbd-extents.sh \
	tests/mnbd/test-mnbd-failover.sh \
	tests/mnbd/test-mnbd-fault-changed-harmlessly.sh \
	tests/mnbd/test-mnbd-fault-changed.sh \
	tests/mnbd/test-mnbd-fault-errors.sh \
	tests/mnbd/test-mnbd-fault-handshake-hangs.sh \
	tests/mnbd/test-mnbd-fault-handshake.sh \
	tests/mnbd/test-mnbd-fault-late-tls.sh \
	tests/mnbd/test-mnbd-fault-late.sh \
	tests/mnbd/test-mnbd-fault-mid-reply.sh \
	tests/mnbd/test-mnbd-fault-never-answers.sh \
	tests/mnbd/test-mnbd-fault-replies.sh \
	tests/mnbd/test-mnbd-fault-shuts-down.sh \
	tests/mnbd/test-mnbd-fault-trickle.sh \
	tests/mnbd/test-mnbd-fault-no-server.sh \
	tests/mnbd/test-mnbd-fault-out-of-order.sh \
	tests/mnbd/test-mnbd-fault-outage-too-long.sh \
	tests/mnbd/test-mnbd-flush-error.sh \
	tests/mnbd/test-mnbd-hostile-text.sh \
	tests/mnbd/test-mnbd-identity-right.sh \
	tests/mnbd/test-mnbd-identity.sh \
	tests/mnbd/test-mnbd-interop.sh \
	tests/mnbd/test-mnbd-kill-ext4.sh \
	tests/mnbd/test-mnbd-kill-fio.sh \
	tests/mnbd/test-mnbd-log.sh \
	tests/mnbd/test-mnbd-pass-on.sh \
	tests/mnbd/test-mnbd-pool.sh \
	tests/mnbd/test-mnbd-reopen.sh \
	tests/mnbd/test-mnbd-replay-full.sh \
	tests/mnbd/test-mnbd-replay-off.sh \
	tests/mnbd/test-mnbd-witness.sh \
	tests/mnbd/test-mnbd-replay-order.sh \
	tests/mnbd/test-mnbd-resized.sh \
	tests/mnbd/test-mnbd-shutdown.sh \
	tests/mnbd/test-mnbd-silent.sh \
	tests/mnbd/test-mnbd-smaller-maximum.sh \
	tests/mnbd/test-mnbd-split.sh \
	tests/mnbd/test-mnbd-stats.sh \
	tests/mnbd/test-mnbd-stress.sh \
	tests/mnbd/test-mnbd-tls-hostname.sh \
	tests/mnbd/test-mnbd-volatile-control.sh \
	tests/mnbd/test-mnbd-volatile.sh \
	tests/mnbd/test-mnbd-zero-large.sh

EXTRA_DIST += $(mnbd_tests)
if !SANITIZER
TESTS += $(mnbd_tests)
endif
