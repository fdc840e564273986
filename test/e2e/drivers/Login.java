/* Signs in with pgjdbc at the URL args[0] as args[1] with the password args[2], asks who it is, and prints the answer or the error. */
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;

class Login {
	public static void main(String[] args) {
		try (Connection connection = DriverManager.getConnection(args[0], args[1], args[2]);
				ResultSet rows = connection.createStatement().executeQuery("select current_setting('portcullis.user')")) {
			rows.next();
			System.out.println(rows.getString(1));
		} catch (SQLException error) {
			System.out.println(error.getMessage());
			System.exit(1);
		}
	}
}
