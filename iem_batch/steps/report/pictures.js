// How a photo and its mask are drawn.

// Where the engine's square lies in a photo, as CSS.
function squareIn([width, height]) {
  if (facts.fit === "squash") return "inset: 0";
  const side = facts.fit === "crop" ? Math.min(width, height) : Math.max(width, height);
  const [w, h] = [side / width, side / height];
  return `left: ${50 * (1 - w)}%; top: ${50 * (1 - h)}%; width: ${100 * w}%; height: ${100 * h}%`;
}

// A picture that the page holds, drawn: a browser keeps those of image elements decoded for long.
function layer(uri, style, kind) {
  const canvas = document.createElement("canvas");
  canvas.className = kind;
  canvas.style.cssText = style;
  decoded(uri).then((bitmap) => {
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  });
  return canvas;
}

function decoded(uri) {
  const [, kind, content] = /^data:([^;]*);base64,(.*)$/.exec(uri);
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: kind }));
}

// The photo as it lies on this disk; as the engine saw it where the browser cannot show that, or
// shows it turned.
function ownPhoto(pictures, small) {
  const image = new Image();
  const giveUp = () => image.replaceWith(...small);
  image.alt = "";
  image.className = "photo";
  image.style.cssText = "inset: 0";
  image.onerror = giveUp;
  image.onload = () => {
    if (image.naturalWidth !== pictures.size[0] || image.naturalHeight !== pictures.size[1]) giveUp();
  };
  image.src = pictures.file;
  return image;
}

function draw(frame, pictures, label, isLarge) {
  const square = squareIn(pictures.size);
  const small = pictures.photo ? [layer(pictures.photo, square, "photo")] : [];
  const mask = pictures.masks[label];
  const isFile = isLarge && pictures.file && location.protocol === "file:";
  frame.replaceChildren(
    ...(isFile ? [ownPhoto(pictures, small)] : small),
    ...(mask ? [layer(mask, square, "mask")] : []));
}
