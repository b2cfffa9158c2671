import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.Objects;

/** The talk with the test: one JSON line per step, and the wish to have the broker restarted. */
final class Steps {
  interface Step {
    void run() throws Exception;
  }

  private static final BufferedReader INPUT = new BufferedReader(new InputStreamReader(System.in));

  private Steps() {}

  static void step(String name, Step step) {
    try {
      step.run();
      say("{\"ok\":" + quote(name) + "}");
    } catch (Throwable thrown) {
      StringWriter trace = new StringWriter();
      thrown.printStackTrace(new PrintWriter(trace));
      say("{\"fail\":" + quote(name) + ",\"why\":" + quote(trace.toString()) + "}");
    }
  }

  /** Has the broker stopped ("stop" or "kill") and started again. */
  static void restart(String how) throws Exception {
    say("{\"restart\":" + quote(how) + "}");
    equal(INPUT.readLine(), "restarted");
  }

  static void done() {
    say("{\"done\":true}");
  }

  static void equal(Object actual, Object expected) {
    if (!Objects.equals(actual, expected)) {
      throw new AssertionError("got " + cut(actual) + "\nexpected " + cut(expected));
    }
  }

  static void check(boolean condition, Object what) {
    if (!condition) throw new AssertionError(cut(what));
  }

  /** Runs what must fail, and gives the exception behind it. */
  static Throwable failure(Step step) {
    try {
      step.run();
    } catch (java.util.concurrent.ExecutionException wrapped) {
      return wrapped.getCause();
    } catch (Exception thrown) {
      return thrown;
    }
    throw new AssertionError("nothing failed");
  }

  private static synchronized void say(String line) {
    System.out.println(line);
    System.out.flush();
  }

  private static String cut(Object value) {
    String text = String.valueOf(value);
    return text.length() > 2000 ? text.substring(0, 2000) + "..." : text;
  }

  private static String quote(String text) {
    StringBuilder quoted = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') quoted.append('\\').append(c);
      else if (c < ' ') quoted.append(String.format("\\u%04x", (int) c));
      else quoted.append(c);
    }
    return quoted.append('"').toString();
  }
}
