import ij.IJ;
import ij.Menus;
import ij.macro.Interpreter;
import java.lang.reflect.Field;
import java.util.Hashtable;

/**
 * Runs a macro as ImageJ does, without windows; prints what it prints.
 * Knows nothing of cellfleet.
 */
public class RunMacro {
    public static void main(String[] paths) throws Exception {
        // Else ImageJ would make its menus, which need a screen, before it opens an image.
        Field commands = Menus.class.getDeclaredField("pluginsTable");
        commands.setAccessible(true);
        commands.set(null, new Hashtable<Object, Object>());
        Interpreter.batchMode = true;
        IJ.runMacroFile(paths[0]);
    }
}
