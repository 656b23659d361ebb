# SPDX-License-Identifier: MIT
# A thin front for meson and the scripts; `make help` lists the targets.

BUILD ?= build
export BUILD
PREFIX ?= /usr/local

.PHONY: all build run guests test check-quick bench fuzz install clean format help

all: build

# Ninja itself notices changed meson files.
$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo 'no meson: scripts/setup build installs it'; exit 1; }
	meson setup $(BUILD)

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

run:
	@scripts/setup run
	@$(MAKE) --no-print-directory build
	$(BUILD)/aerostat run

# Configured again: what was not there before may be now.
guests: $(BUILD)/build.ninja
	@scripts/setup guests
	@meson setup --reconfigure $(BUILD) >/dev/null
	@$(MAKE) --no-print-directory build

test:
	@scripts/setup test
	@scripts/check

check-quick:
	@scripts/setup test
	@scripts/check --quick

bench:
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	bench/run

# FUZZ_SECONDS per target, found inputs stay in build/fuzz-work/.
FUZZ_SECONDS ?= 60
fuzz:
	@scripts/setup test
	@scripts/fuzz $(FUZZ_SECONDS)

install: $(BUILD)/build.ninja
	meson configure $(BUILD) -Dprefix=$(PREFIX)
	meson install -C $(BUILD)

format:
	scripts/checks/format.py --fix

clean:
	rm -rf $(BUILD)

help:
	@echo 'make              build; the program is build/aerostat'
	@echo 'make run          install what is missing, build, run the demonstration'
	@echo 'make guests       install and build what run --guest baremetal-aarch64, -riscv64 needs'
	@echo 'make test         install what is missing, build, run every test'
	@echo 'make check-quick  the tests that need no guest, under a minute'
	@echo 'make bench        measure and compare'
	@echo 'make fuzz         fuzz every target for FUZZ_SECONDS=60 seconds'
	@echo 'make install      DESTDIR= PREFIX=/usr/local'
	@echo 'make format       apply .clang-format'
	@echo 'make clean        remove build/'
