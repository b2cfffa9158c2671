import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.Base64;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs the main methods of Apache Kafka's tools one after the other in one JVM, which starts once instead of
 * every time. A line of standard input is one call: class, standard input and arguments, each in Base64. Its
 * answer is one line: exit code, standard output and standard error.
 */
public final class ToolRunner {
  /** Ends a tool where it would have ended the process. Some catch it and exit again: the first code counts. */
  private static final class Exited extends RuntimeException {
    Exited(int code) {
      super("exit " + code, null, false, false);
      if (exitCode == null) exitCode = code;
    }
  }

  private static volatile Integer exitCode;

  private ToolRunner() {}

  public static void main(String[] args) throws Exception {
    PrintStream answers = System.out;
    BufferedReader calls = new BufferedReader(new InputStreamReader(System.in));
    Exit.setExitProcedure((code, message) -> {
      throw new Exited(code);
    });
    Exit.setHaltProcedure((code, message) -> {
      throw new Exited(code);
    });
    for (String line = calls.readLine(); line != null; line = calls.readLine()) {
      String[] parts = line.split(" ", -1);
      String[] arguments = Arrays.stream(parts).skip(2).map(ToolRunner::decode).toArray(String[]::new);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      ByteArrayOutputStream err = new ByteArrayOutputStream();
      System.setOut(new PrintStream(out, true));
      System.setErr(new PrintStream(err, true));
      System.setIn(new ByteArrayInputStream(Base64.getDecoder().decode(parts[1])));
      int code = call(decode(parts[0]), arguments);
      System.out.flush();
      System.err.flush();
      answers.println(code + " " + encode(out) + " " + encode(err));
      answers.flush();
    }
    Runtime.getRuntime().halt(0);
  }

  private static int call(String tool, String[] arguments) {
    exitCode = null;
    try {
      Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
      return exitCode == null ? 0 : exitCode;
    } catch (java.lang.reflect.InvocationTargetException thrown) {
      if (exitCode != null) return exitCode;
      thrown.getCause().printStackTrace();
      return 1;
    } catch (ReflectiveOperationException thrown) {
      thrown.printStackTrace();
      return 1;
    }
  }

  private static String decode(String text) {
    return new String(Base64.getDecoder().decode(text));
  }

  private static String encode(ByteArrayOutputStream bytes) {
    return Base64.getEncoder().encodeToString(bytes.toByteArray());
  }
}
