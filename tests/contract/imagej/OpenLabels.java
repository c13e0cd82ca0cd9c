import ij.ImagePlus;
import ij.ImageStack;
import ij.io.Opener;
import ij.measure.Calibration;
import ij.process.ImageProcessor;
import java.awt.image.IndexColorModel;

/**
 * Opens label images as a user of plain ImageJ does and prints what ImageJ sees, one "key value" line each.
 * Knows nothing of cellfleet; test_label_tiff_in_imagej.py compares the lines with numpy.
 */
public class OpenLabels {
    public static void main(String[] paths) {
        System.setProperty("java.awt.headless", "true");
        for (String path : paths) {
            show(path);
        }
    }

    private static void show(String path) {
        ImagePlus image = new Opener().openImage(path);
        say("file", path);
        if (image == null) {
            say("opened", "no");
            return;
        }
        say("opened", "yes");
        say("bits", image.getBitDepth());
        say("width", image.getWidth());
        say("height", image.getHeight());
        say("channels", image.getNChannels());
        say("slices", image.getNSlices());
        say("frames", image.getNFrames());
        Calibration calibration = image.getCalibration();
        say("pixel_width", calibration.pixelWidth);
        say("pixel_height", calibration.pixelHeight);
        say("unit", calibration.getUnit());
        sayPixels(image.getStack());
        sayColours(image);
    }

    /** Sum of value · (position mod 8191 + 1), exact in a long: differs when any value moves or changes. */
    private static void sayPixels(ImageStack stack) {
        long checksum = 0;
        long position = 0;
        double largest = 0;
        for (int plane = 1; plane <= stack.getSize(); plane++) {
            ImageProcessor pixels = stack.getProcessor(plane);
            for (int i = 0; i < pixels.getPixelCount(); i++) {
                double value = pixels.getf(i);
                checksum += (long) value * (position % 8191 + 1);
                largest = Math.max(largest, value);
                position++;
            }
        }
        say("pixels", position);
        say("checksum", checksum);
        say("largest", (long) largest);
    }

    /** The display table, and the colour on the screen of the first pixel of each value in the first plane. */
    private static void sayColours(ImagePlus image) {
        IndexColorModel table = (IndexColorModel) image.getProcessor().getColorModel();
        StringBuilder entries = new StringBuilder();
        for (int i = 0; i < table.getMapSize(); i++) {
            entries.append(String.format("%06x", table.getRGB(i) & 0xffffff));
        }
        say("table", entries);
        ImageProcessor values = image.getProcessor();
        java.awt.image.BufferedImage screen = image.getBufferedImage();
        java.util.TreeMap<Long, Integer> shown = new java.util.TreeMap<>();
        for (int y = 0; y < values.getHeight(); y++) {
            for (int x = 0; x < values.getWidth(); x++) {
                shown.putIfAbsent((long) values.getPixelValue(x, y), screen.getRGB(x, y) & 0xffffff);
            }
        }
        StringBuilder colours = new StringBuilder();
        shown.forEach((value, colour) -> colours.append(value).append(String.format(":%06x ", colour)));
        say("shown", colours.toString().trim());
    }

    private static void say(String key, Object value) {
        System.out.println(key + " " + value);
    }
}
