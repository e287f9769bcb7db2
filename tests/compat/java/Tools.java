// Runs Kafka's own command-line tools one after another in one virtual machine, by their unchanged `main`.
//
// Reads a line for each: the name of the class and its arguments, with tabs between. Answers with a line of
// JSON: the status the tool would have ended with, and all it printed.

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.util.Arrays;

import com.fasterxml.jackson.databind.ObjectMapper;

import org.apache.kafka.common.utils.Exit;

public class Tools {
    static class Ended extends Error {
    }

    static volatile Integer status;

    public static void main(String[] arguments) throws Exception {
        Exit.Procedure end = (code, message) -> {
            if (status == null) {
                status = code;
            }
            throw new Ended();
        };
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        // This machine does not end with the tool.
        Exit.setShutdownHookAdder((name, runnable) -> { });
        PrintStream answers = System.out;
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null; ) {
            String[] words = line.split("\t");
            var said = new ByteArrayOutputStream();
            var printer = new PrintStream(said, true);
            System.setOut(printer);
            System.setErr(printer);
            status = null;
            run(words[0], Arrays.copyOfRange(words, 1, words.length), printer);
            printer.flush();
            int code = status == null ? 0 : status;
            var answer = new ObjectMapper().createObjectNode().put("status", code).put("said", said.toString());
            answers.println(answer);
            answers.flush();
        }
        System.setOut(answers);
        Runtime.getRuntime().halt(0);
    }

    static void run(String tool, String[] arguments, PrintStream printer) throws Exception {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException error) {
            if (!(error.getCause() instanceof Ended)) {
                error.getCause().printStackTrace(printer);
                status = 1;
            }
        } catch (ClassNotFoundException error) {
            error.printStackTrace(printer);
            status = 127;
        }
    }
}
