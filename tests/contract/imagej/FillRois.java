import ij.gui.Roi;
import ij.io.RoiDecoder;
import ij.process.FloatProcessor;
import ij.process.ImageProcessor;
import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * Opens ROI zips as ImageJ's ROI Manager does (itself it needs a screen), and fills every ROI into a blank stack with the number that is
 * its name. Knows nothing of cellfleet; test_rois_in_imagej.py compares the pixels with numpy.
 *
 * Arguments, five per zip: zip, width, height, slices, frames. Prints the lines "file", "rois" and "twice"
 * (pixels that two ROIs fill) and writes the pixels as big-endian floats beside the zip (name + ".raw").
 */
public class FillRois {
    public static void main(String[] words) throws IOException {
        System.setProperty("java.awt.headless", "true");
        for (int i = 0; i < words.length; i += 5) {
            fill(words[i], number(words[i + 1]), number(words[i + 2]), number(words[i + 3]), number(words[i + 4]));
        }
    }

    private static int number(String word) {
        return Integer.parseInt(word);
    }

    private static void fill(String path, int width, int height, int slices, int frames) throws IOException {
        FloatProcessor[] planes = new FloatProcessor[slices * frames];
        for (int i = 0; i < planes.length; i++) {
            planes[i] = new FloatProcessor(width, height);
        }
        long twice = 0;
        int rois = 0;
        try (ZipInputStream archive = new ZipInputStream(new FileInputStream(path))) {
            for (ZipEntry entry = archive.getNextEntry(); entry != null; entry = archive.getNextEntry()) {
                String name = entry.getName().replaceFirst("\\.roi$", "");
                Roi roi = new RoiDecoder(archive.readAllBytes(), name).getRoi();
                if (!name.equals(roi.getName())) {
                    throw new IOException(name + " calls itself " + roi.getName());
                }
                twice += fillOne(planes[plane(roi, slices, frames)], roi, number(name));
                rois++;
            }
        }
        System.out.println("file " + path);
        System.out.println("rois " + rois);
        System.out.println("twice " + twice);
        try (DataOutputStream out =
                new DataOutputStream(new BufferedOutputStream(new FileOutputStream(path + ".raw")))) {
            for (FloatProcessor plane : planes) {
                for (int j = 0; j < width * height; j++) {
                    out.writeFloat(plane.getf(j));
                }
            }
        }
    }

    /** The plane that ImageJ shows when the ROI is clicked: by slice and frame where both are there, else by position. */
    private static int plane(Roi roi, int slices, int frames) {
        if (slices > 1 && frames > 1) {
            return (roi.getTPosition() - 1) * slices + roi.getZPosition() - 1;
        }
        return slices * frames > 1 ? roi.getPosition() - 1 : 0;
    }

    private static long fillOne(FloatProcessor pixels, Roi roi, int label) {
        FloatProcessor before = (FloatProcessor) pixels.duplicate();
        pixels.setValue(label);
        pixels.fill(roi);
        long twice = 0;
        for (int j = 0; j < pixels.getPixelCount(); j++) {
            if (before.getf(j) != 0 && before.getf(j) != pixels.getf(j)) {
                twice++;
            }
        }
        return twice;
    }
}
