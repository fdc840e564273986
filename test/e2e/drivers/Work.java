/* Does with pgjdbc at the URL args[0] as args[1] with the password args[2] what applications do with it, and prints what came of each step. */
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.util.Arrays;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;

class Work {
	public static void main(String[] args) throws Exception {
		for (String mode : new String[] {"extended", "extendedForPrepared", "extendedCacheEverything"}) {
			String separator = args[0].contains("?") ? "&" : "?";
			String url = args[0] + separator + "preferQueryMode=" + mode + "&defaultRowFetchSize=7";
			System.out.println("--- " + mode);
			try (Connection connection = DriverManager.getConnection(url, args[1], args[2])) {
				new Work(connection).all();
			}
		}
	}

	private final Connection connection;

	private Work(Connection connection) {
		this.connection = connection;
	}

	private void all() throws Exception {
		run("create table if not exists work_java (id int primary key, word text, price numeric, data bytea, made timestamptz)");
		run("truncate work_java");
		inserts();
		errors();
		cursors();
		copies();
		calls();
		metadata();
	}

	private void run(String sql) throws SQLException {
		try (Statement statement = connection.createStatement()) {
			statement.execute(sql);
		}
	}

	private String ask(String sql) throws SQLException {
		StringBuilder out = new StringBuilder();
		try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
			int columns = rows.getMetaData().getColumnCount();
			while (rows.next()) for (int i = 1; i <= columns; i++) out.append(rows.getString(i)).append(i < columns ? "|" : ";");
		}
		return out.toString();
	}

	private static void say(String step, Object value) {
		System.out.println(step + ": " + value);
	}

	private static void failed(String step, SQLException error) {
		say(step, error.getSQLState() + " " + error.getMessage().split("\n")[0]);
	}

	private void inserts() throws SQLException {
		String sql = "insert into work_java values (?, ?, ?, ?, ?::timestamptz)";
		try (PreparedStatement statement = connection.prepareStatement(sql)) {
			for (int n = 0; n < 40; n++) {
				statement.setInt(1, n);
				statement.setString(2, n % 3 == 0 ? null : "wide é 漢 '\\ " + n);
				statement.setBigDecimal(3, new BigDecimal("12345678901234567890.123"));
				statement.setBytes(4, new byte[] {0, (byte) n, -1});
				statement.setString(5, "2024-02-29 12:00:00+00");
				statement.addBatch();
			}
			say("batch", Arrays.stream(statement.executeBatch()).sum());
		}
		// Prepared on the server from the fifth time on.
		try (PreparedStatement statement = connection.prepareStatement("select word, price, data from work_java where id = ?")) {
			for (int n = 0; n < 8; n++) {
				statement.setInt(1, n);
				try (ResultSet rows = statement.executeQuery()) {
					rows.next();
					say("row " + n, rows.getString(1) + " " + rows.getBigDecimal(2) + " " + Arrays.toString(rows.getBytes(3)));
				}
			}
		}
		try (PreparedStatement statement = connection.prepareStatement("insert into work_java (id) values (?) returning id, word", Statement.RETURN_GENERATED_KEYS)) {
			statement.setInt(1, 99);
			statement.execute();
			say("returning", statement.getGeneratedKeys().next());
		}
		try (PreparedStatement statement = connection.prepareStatement("select count(*) from work_java where id = any(?)")) {
			Array ids = connection.createArrayOf("int4", new Object[] {1, 2, null, 99});
			statement.setArray(1, ids);
			try (ResultSet rows = statement.executeQuery()) {
				rows.next();
				say("array", rows.getInt(1));
			}
		}
	}

	private void errors() throws SQLException {
		connection.setAutoCommit(false);
		try (PreparedStatement statement = connection.prepareStatement("insert into work_java (id) values (?)")) {
			for (int n : new int[] {200, 201, 1, 202}) {
				statement.setInt(1, n);
				statement.addBatch();
			}
			statement.executeBatch();
		} catch (BatchUpdateException error) {
			failed("batch that fails", error);
		}
		try {
			ask("select 1");
		} catch (SQLException error) {
			failed("in a failed transaction", error);
		}
		connection.rollback();
		say("rolled back", ask("select count(*) from work_java where id >= 200"));
		Savepoint savepoint = connection.setSavepoint("here");
		try {
			ask("select 1 / 0");
		} catch (SQLException error) {
			failed("error", error);
		}
		connection.rollback(savepoint);
		say("after the savepoint", ask("select 1"));
		connection.commit();
		connection.setAutoCommit(true);
		try (Statement statement = connection.createStatement()) {
			statement.setQueryTimeout(1);
			statement.executeQuery("select pg_sleep(60)");
		} catch (SQLException error) {
			failed("cancelled", error);
		}
	}

	private void cursors() throws SQLException {
		connection.setAutoCommit(false);
		long sum = 0;
		try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("select id from work_java order by id")) {
			while (rows.next()) sum += rows.getInt(1);
		}
		say("by sevens", sum);
		try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
				ResultSet rows = statement.executeQuery("select id, word from work_java where id < 3 order by id")) {
			rows.absolute(2);
			rows.updateString("word", "changed");
			rows.updateRow();
		}
		connection.commit();
		say("updated in place", ask("select word from work_java where id = 1"));
		connection.setAutoCommit(true);
		try (Statement statement = connection.createStatement()) {
			boolean rows = statement.execute("select 1; update work_java set word = 'x' where id < 5; select 2, 3");
			StringBuilder out = new StringBuilder();
			for (int i = 0; i < 3; i++) {
				out.append(rows ? "rows" : "count " + statement.getUpdateCount()).append("; ");
				rows = statement.getMoreResults();
			}
			say("several", out);
		}
	}

	private void copies() throws Exception {
		CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
		StringBuilder lines = new StringBuilder();
		for (int n = 1000; n < 3000; n++) lines.append(n).append("\tword\\n").append(n).append("\t\\N\t\\N\t\\N\n");
		say("copy in", copy.copyIn("copy work_java from stdin", new ByteArrayInputStream(lines.toString().getBytes(StandardCharsets.UTF_8)), 1000));
		ByteArrayOutputStream out = new ByteArrayOutputStream();
		say("copy out", copy.copyOut("copy (select id, word from work_java order by id) to stdout", out));
		say("copied", Arrays.hashCode(out.toByteArray()));
		try {
			copy.copyIn("copy work_java (id) from stdin", new ByteArrayInputStream("1\n".getBytes(StandardCharsets.UTF_8)));
		} catch (SQLException error) {
			failed("copy that fails", error);
		}
		run("listen work_java");
		run("notify work_java, 'hello'");
		for (PGNotification notification : connection.unwrap(PGConnection.class).getNotifications(10_000)) say("notified", notification.getParameter());
	}

	private void calls() throws SQLException {
		try (CallableStatement call = connection.prepareCall("{? = call upper(?)}")) {
			call.registerOutParameter(1, Types.VARCHAR);
			call.setString(2, "called");
			call.execute();
			say("call", call.getString(1));
		}
	}

	private void metadata() throws SQLException {
		try (ResultSet columns = connection.getMetaData().getColumns(null, null, "work_java", null)) {
			while (columns.next()) say("column", columns.getString("COLUMN_NAME") + " " + columns.getString("TYPE_NAME"));
		}
		try (PreparedStatement statement = connection.prepareStatement("select id, price from work_java where word = ?")) {
			ResultSetMetaData rows = statement.getMetaData();
			say("described", rows.getColumnTypeName(1) + " " + rows.getColumnTypeName(2) + " " + statement.getParameterMetaData().getParameterTypeName(1));
		}
	}
}
