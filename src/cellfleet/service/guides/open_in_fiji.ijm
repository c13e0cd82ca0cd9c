// Opens every label image of a folder of cellfleet results, and its image where that stands beside it.
// Fiji or ImageJ: Plugins > Macros > Run..., then choose this file.
asked_from = 30;

folder = getInfo("macro.filepath");
if (lengthOf(folder) > 0)
    folder = File.getParent(folder) + File.separator;
else
    folder = getDirectory("Folder with the results");
count = openBelow(folder, false);
if (count == 0)
    exit("There is no ..._labels.tif in " + folder);
if (count > asked_from)
    showMessageWithCancel("cellfleet", "Open " + count + " label images?");
openBelow(folder, true);

// Returns how many label images there are in a folder and below.
function openBelow(folder, really) {
    count = 0;
    names = getFileList(folder);
    for (i = 0; i < names.length; i++) {
        if (endsWith(names[i], "/")) {
            if (!endsWith(names[i], ".zarr/"))
                count = count + openBelow(folder + names[i], really);
        } else if (endsWith(names[i], "_labels.tif")) {
            count = count + 1;
            if (really)
                openBoth(folder, names[i]);
        }
    }
    return count;
}

function openBoth(folder, labels) {
    image = folder + substring(labels, 0, lengthOf(labels) - lengthOf("_labels.tif"));
    // "" where the ending is part of the name already: a.tif_labels.tif
    endings = newArray("", ".tif", ".tiff", ".TIF", ".png", ".jpg", ".jpeg");
    for (i = 0; i < endings.length; i++) {
        if (File.exists(image + endings[i]) && !File.isDirectory(image + endings[i]))
            open(image + endings[i]);
    }
    open(folder + labels);
}
