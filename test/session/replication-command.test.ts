/** Replication commands are told from SQL as the server's scanner tells them (repl_scanner.l), and what is no command at all is known. */
import { describe, expect, it } from 'vitest';
import { readCommand } from '../../src/session/replication-command.ts';

describe('readCommand', () => {
	const rows: readonly [string, string | null, 'well-formed' | 'malformed', 'writes on the server'?][] = [
		['IDENTIFY_SYSTEM', 'IdentifySystemCmd', 'well-formed'],
		[' \t\n\r\fIDENTIFY_SYSTEM ; ', 'IdentifySystemCmd', 'well-formed'],
		['SHOW wal_segment_size', 'VariableShowStmt', 'well-formed'],
		['SHOW a.b', 'VariableShowStmt', 'well-formed'],
		['START_REPLICATION SLOT "a b" PHYSICAL 0/3000000 TIMELINE 1', 'StartReplicationCmd', 'well-formed'],
		[
			"START_REPLICATION SLOT s LOGICAL AB/12 (proto_version '4', publication_names '\"p;\"\"q', x 'a''b')",
			'StartReplicationCmd',
			'well-formed',
		],
		[
			"CREATE_REPLICATION_SLOT s TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')",
			'CreateReplicationSlotCmd',
			'well-formed',
		],
		['CREATE_REPLICATION_SLOT é LOGICAL pgoutput', 'CreateReplicationSlotCmd', 'well-formed'],
		['ALTER_REPLICATION_SLOT s (FAILOVER true)', 'AlterReplicationSlotCmd', 'well-formed'],
		['DROP_REPLICATION_SLOT s WAIT', 'DropReplicationSlotCmd', 'well-formed'],
		['READ_REPLICATION_SLOT s', 'ReadReplicationSlotCmd', 'well-formed'],
		['TIMELINE_HISTORY 2', 'TimeLineHistoryCmd', 'well-formed'],
		['UPLOAD_MANIFEST', 'UploadManifestCmd', 'well-formed'],
		["BASE_BACKUP ( LABEL 'x;y',  PROGRESS,  MANIFEST 'yes',  TARGET 'client')", 'BaseBackupCmd', 'well-formed'],
		["BASE_BACKUP ( LABEL 'target')", 'BaseBackupCmd', 'well-formed'],
		["BASE_BACKUP (TARGET 'server', TARGET_DETAIL '/tmp/x')", 'BaseBackupCmd', 'well-formed', 'writes on the server'],
		['BASE_BACKUP (LABEL x, target SHELL)', 'BaseBackupCmd', 'well-formed', 'writes on the server'],
		['BASE_BACKUP ("target" \'Client\')', 'BaseBackupCmd', 'well-formed', 'writes on the server'],
		['BASE_BACKUP (target)', 'BaseBackupCmd', 'well-formed', 'writes on the server'],
		['SHOW x; DROP TABLE y', 'VariableShowStmt', 'malformed'],
		['SHOW x;;', 'VariableShowStmt', 'malformed'],
		['SHOW/* */x', 'VariableShowStmt', 'malformed'],
		['SHOW x -- y', 'VariableShowStmt', 'malformed'],
		["TIMELINE_HISTORY 'x", 'TimeLineHistoryCmd', 'malformed'],
		[`SHOW ${'x'.repeat(70_000)}`, 'VariableShowStmt', 'malformed'],
		['show wal_segment_size', null, 'well-formed'],
		['identify_system', null, 'well-formed'],
		['SHOWx', null, 'well-formed'],
		['SHOW1', null, 'well-formed'],
		['SHOW$', null, 'well-formed'],
		['SHOWé', null, 'well-formed'],
		['"SHOW" x', null, 'well-formed'],
		['/* */ SHOW x', null, 'well-formed'],
		['\vSHOW x', null, 'well-formed'],
		['; SHOW x', null, 'well-formed'],
		['', null, 'well-formed'],
		['constructor', null, 'well-formed'],
		['SLOT', null, 'well-formed'],
		['SELECT 1', null, 'well-formed'],
	];
	it.each(rows)('%j', (text, node, form, writes) => {
		const want =
			node === null ? null : { node, wellFormed: form === 'well-formed', writesOnServer: writes !== undefined };
		expect(readCommand(text)).toEqual(want);
	});
});
