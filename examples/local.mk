# SPDX-License-Identifier: BSD-3-Clause
# Examples to run and to learn from.

EXTRA_DIST += \
	examples/backup \
	examples/boot \
	examples/monitoring/README.md \
	examples/monitoring/alerts-test.yml \
	examples/monitoring/alerts.yml \
	examples/monitoring/dashboard.json \
	examples/monitoring/prometheus.yml \
	examples/sandbox \
	examples/upgrade
