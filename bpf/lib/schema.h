/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The version of everything that outlives the agent: layouts and meaning of the
 * pinned maps. Raised by every change that a running datapath of the version
 * before would misread; pins of another version are never opened.
 */
#ifndef AXONEME_SCHEMA_H
#define AXONEME_SCHEMA_H

enum schema {
	SCHEMA_VERSION = 5,
};

const enum schema *anchor_schema __attribute__((unused));

#endif
