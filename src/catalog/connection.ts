/** What the catalogue needs of a connection to a database: rows of text for a statement, and an end. */

/** Runs SQL of the gateway's own. */
export interface CatalogConnection {
	/**
	 * Runs `sql` by the simple protocol and gives the rows of its last statement that returned any, every cell as text
	 * (null for NULL). Rejects with the server's error; after a rejection the connection may or may not be usable.
	 */
	query(sql: string): Promise<(string | null)[][]>;
}

/** A connection that belongs to the catalogue alone: it sets session state on it and closes it. */
export interface CatalogSession extends CatalogConnection {
	/** Ends the connection, also in the middle of a query; never rejects. */
	close(): Promise<void>;
}
