// What is dropped, pasted or chosen: known by its content, before anything is sent.

import { listed, t } from "./words.js";

/** How many bytes tell what a file is. */
const HEAD = 256;

/** What the service reads; everything else is told what to do instead. */
const READ = ["jpeg", "png", "gif", "webp", "bmp", "tiff"];

/** What a file is by its first bytes, and by its name where only that tells. */
export function kindOf(head, name) {
  const text = String.fromCharCode(...head);
  const begins = (...marks) => marks.some((mark) => text.startsWith(mark));
  // A DICOM file may begin as a TIFF does.
  if (text.slice(128, 132) === "DICM" || /\.dcm$/i.test(name)) return "dicom";
  if (begins("\xff\xd8\xff")) return "jpeg";
  if (begins("\x89PNG\r\n\x1a\n")) return "png";
  if (begins("GIF87a", "GIF89a")) return "gif";
  if (begins("RIFF") && text.slice(8, 12) === "WEBP") return "webp";
  if (begins("BM")) return "bmp";
  if (begins("II*\0", "MM\0*", "II+\0", "MM\0+")) return "tiff";
  if (text.slice(4, 8) === "ftyp") {
    if (/^(hei[cmxs]|hev[cmx]|mif1|msf1)/.test(text.slice(8))) return "heic";
    return text.slice(8).startsWith("avi") ? "avif" : "video";
  }
  if (begins("%PDF")) return "pdf";
  if (/^\s*(<\?xml[^>]*>\s*)?(<!--.*-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg/.test(text)) return "svg";
  if (begins("PK\x03\x04")) return "archive";
  return "unknown";
}

async function look(file) {
  if (file.size === 0) return "empty";
  try {
    return kindOf(new Uint8Array(await file.slice(0, HEAD).arrayBuffer()), file.name);
  } catch {
    // A folder, or a file that has gone meanwhile.
    return "unreadable";
  }
}

/** Of several files the one that is taken, or `null`, and what has to be said of the others and of what can't be read. */
export async function sift(files) {
  if (files.length === 0) return { file: null, told: [t("intake.none")] };
  const kinds = await Promise.all(files.map(look));
  const name = (file) => file.name || t("picture.pasted");
  const told = files.flatMap((file, at) => (READ.includes(kinds[at]) ? [] : [t(`intake.${kinds[at]}`, { name: name(file) })]));
  const readable = files.filter((_, at) => READ.includes(kinds[at]));
  if (readable.length > 1) told.unshift(t("intake.several", { name: name(readable[0]), others: listed(readable.slice(1).map((file) => t("intake.quoted", { name: name(file) }))) }));
  return { file: readable[0] ?? null, told };
}
