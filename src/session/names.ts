/** What a session knows of its search_path, and whether that still holds. */
import { parseSearchPath } from './search-path.ts';
import type { Relation } from '../catalog/snapshot.ts';
import type { RelationSearch } from '../pipeline.ts';
import type { Altered, Names } from './services.ts';

/** Each look asks for all that the transaction has altered. */
const ALTERED_ASKED_MAX = 50;

/**
 * The server reports search_path from version 18 on, but only with ReadyForQuery; before 18 it has to be asked. So the
 * path is stale after any statement that may have changed it, until the server has told it again.
 */
export class SessionNames {
	#current: Names = { searchPath: null, tempSchema: null };
	/** As in the latest ParameterStatus; undefined when the server does not report it. */
	#reported: string | undefined;
	/** The latest path that was known, whether or not it still holds. */
	#latest: Names = this.#current;
	/** Text that `#current` was made from. */
	#text: string | null = null;
	#stale: boolean;
	#dirty = false;
	#temporaryStale = false;
	#schemas: readonly string[] = [];
	#altered: Altered = { relations: [], count: 0 };

	/** `reported`: search_path as in the ParameterStatus messages of the login; undefined when there was none. */
	constructor(reported: string | undefined) {
		this.#reported = reported;
		this.#stale = reported === undefined;
		if (reported !== undefined) this.#learn(reported);
	}

	/** What names mean; a path that is stale is null. */
	get current(): Names {
		return this.#current;
	}

	/**
	 * For decisions in a failed transaction, where the server cannot be asked: nothing but the end of the transaction, or
	 * of a part of it, runs there, and that names no relation.
	 */
	get latest(): Names {
		return this.#latest;
	}

	/** The server has to be asked before the path is known. */
	get stale(): boolean {
		return this.#stale;
	}

	/** The transaction under way has changed the path (or may have): its end, or an error, may change it again. */
	get dirty(): boolean {
		return this.#dirty;
	}

	/** A statement that may change the path has been done. */
	changed(): void {
		this.#dirty = true;
		this.#forget();
	}

	/** A portal is there whose rows change the path when they are fetched, by Execute or FETCH. */
	poised(): void {
		this.#dirty = true;
	}

	/** A statement of a dirty transaction has been done; it may have been its end. */
	touched(): void {
		if (this.#dirty) this.#forget();
	}

	/** ParameterStatus of search_path. The server sends one only when the value differs from the one it reported last. */
	report(text: string): void {
		this.#reported = text;
	}

	/** ReadyForQuery. `idle`: no transaction is open. */
	ready(idle: boolean): void {
		if (this.#reported !== undefined) this.#learn(this.#reported);
		else this.touched();
		if (!idle) return;
		this.#dirty = false;
		this.#keepSchemas([]);
		this.#keepAltered([]);
	}

	/** Another backend, on which the path that the client has not set is another: it has to be asked for. */
	moved(reported: string | undefined): void {
		if (reported !== undefined) this.#reported = reported;
		this.#forget();
	}

	/** Nothing of the session is left on the backend that it had. */
	left(): void {
		const { searchPath, tempSchema, own } = this.#current;
		if (tempSchema === null && own === undefined) return;
		this.#current = { searchPath, tempSchema: null };
		this.#temporaryStale = false;
		if (searchPath !== null) this.#latest = this.#current;
	}

	/** Temporary relations may have come or gone: the server has to be asked for them. */
	get temporaryStale(): boolean {
		return this.#temporaryStale;
	}

	/** DDL was done, committed or rolled back: what is known of the session's own relations may hold no longer. */
	forgetOwn(): void {
		this.#temporaryStale = true;
		this.#keepOwn(undefined);
	}

	/** The transaction under way has made it. Once that ends the catalogue tells of it, or it is not there. */
	madeSchema(name: string): void {
		if (!this.#schemas.includes(name)) this.#keepSchemas([...this.#schemas, name]);
	}

	/** The transaction under way has done DDL to these, which the catalogue shows as they were before: they have to be asked for, too. */
	alter(relations: Altered['relations']): void {
		const before = this.#altered.relations;
		const known = new Set(before.map(({ schema, name }) => JSON.stringify([schema, name])));
		const more = relations.filter(({ schema, name }) => !known.has(JSON.stringify([schema, name])));
		this.#keepAltered([...before, ...more]);
	}

	/** What has to be asked for; of more relations than that the columns' types stay unknown. */
	get wanted(): RelationSearch {
		const { relations } = this.#altered;
		const isFew = relations.length > 0 && relations.length <= ALTERED_ASKED_MAX;
		return isFew ? [{ schema: 'pg_temp', name: null }, ...relations] : 'temporary';
	}

	#keepAltered(relations: Altered['relations']): void {
		if (relations.length === 0 && this.#altered.relations.length === 0) return;
		this.#altered = { relations, count: this.#altered.count + 1 };
		const { altered: _before, ...names } = this.#current;
		this.#current = relations.length === 0 ? names : { ...names, altered: this.#altered };
		if (names.searchPath !== null) this.#latest = this.#current;
	}

	#keepSchemas(schemas: readonly string[]): void {
		if (schemas.length === 0 && this.#schemas.length === 0) return;
		this.#schemas = schemas;
		const { schemas: _before, ...names } = this.#current;
		this.#current = schemas.length === 0 ? names : { ...names, schemas };
		if (names.searchPath !== null) this.#latest = this.#current;
	}

	/** All temporary relations of the session, in place of what was known before. */
	learnTemporary(relations: readonly Relation[]): void {
		this.#temporaryStale = false;
		this.#keepOwn(relations.length === 0 ? undefined : relations);
	}

	/** Further relations that only this session sees. */
	learnOwn(relations: readonly Relation[]): void {
		if (relations.length === 0) return;
		const oids = new Set(relations.map(({ oid }) => oid));
		this.#keepOwn([...(this.#current.own ?? []).filter(({ oid }) => !oids.has(oid)), ...relations]);
	}

	/** The answer to the gateway's question; null when there was none: then the path stays unknown, and may be asked again. */
	answered(text: string | null): void {
		if (text === null) this.#forget();
		else this.#learn(text);
	}

	#keepOwn(own: readonly Relation[] | undefined): void {
		const { searchPath, tempSchema, own: before } = this.#current;
		if (own === before) return;
		const schema = own?.find((relation) => relation.temporary)?.schema ?? tempSchema;
		const { own: _before, ...names } = { ...this.#current, searchPath, tempSchema: schema };
		this.#current = own === undefined ? names : { ...names, own };
		if (searchPath !== null) this.#latest = this.#current;
	}

	#learn(text: string): void {
		this.#stale = false;
		if (text === this.#text) return;
		this.#text = text;
		this.#current = { ...this.#current, searchPath: parseSearchPath(text) };
		this.#latest = this.#current;
	}

	#forget(): void {
		this.#stale = true;
		this.#text = null;
		if (this.#current.searchPath !== null) this.#current = { ...this.#current, searchPath: null };
	}
}
