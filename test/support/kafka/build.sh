#!/usr/bin/env bash
# Builds the mock Kafka broker that the tests of the Kafka sink talk to, and prints its path. Half a minute of CPU, once a machine.
#
# Debian's librdkafka (2.0) has a mock of its own, but it answers Metadata up to version 2, and clients that are kept today
# ask for 9 and later. The sources of one that does are in the package node-rdkafka; nothing else of that package is used.
set -euo pipefail
cd "$(dirname "$0")"

version=3.6.1
digest=b1fa536eb4f7e78dbd72cd1113c61bf5abc65fd062451be957b6b0790b2084a4e3b6b5593f78c1aca38f22d59702a1dbf1da328774a4b86b945412e08a0d5246
target="${XDG_CACHE_HOME:-$HOME/.cache}/portcullis/kafka-mock-$version-$(sha256sum mock.c | cut -c1-12)"

if [ ! -x "$target" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cp mock.c "$work/"
	cd "$work"
	npm pack --silent "node-rdkafka@$version" >/dev/null
	echo "$digest  node-rdkafka-$version.tgz" | sha512sum --check --quiet
	tar xzf "node-rdkafka-$version.tgz"
	cd package/deps/librdkafka
	# shellcheck disable=SC2046 # the libraries are words
	{
		./configure --disable-gssapi --disable-curl --disable-zstd --disable-ssl --disable-lz4-ext --disable-optimization
		make -C src -j"$(nproc)" librdkafka.a
		gcc -O1 -I src -o "$work/mock" "$work/mock.c" src/librdkafka.a \
			$(sed -n 's/^LIBS+=//p' Makefile.config)
	} >"$work/log" 2>&1 || { tail -20 "$work/log" >&2 && exit 1; }
	mkdir -p "$(dirname "$target")"
	mv "$work/mock" "$target"
fi
echo "$target"
