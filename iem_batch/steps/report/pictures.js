// How a photo and its mask are drawn.

// Where the engine's square lies in a photo, as CSS.
function squareIn([width, height]) {
  if (facts.fit === "squash") return "inset: 0";
  const side = facts.fit === "crop" ? Math.min(width, height) : Math.max(width, height);
  const [w, h] = [side / width, side / height];
  return `left: ${50 * (1 - w)}%; top: ${50 * (1 - h)}%; width: ${100 * w}%; height: ${100 * h}%`;
}

function layer(src, style, kind) {
  const image = new Image();
  image.alt = "";
  image.className = kind;
  image.style.cssText = style;
  image.src = src;
  return image;
}

// The photo as it lies on this disk; as the engine saw it where the browser cannot show that, or
// shows it turned.
function ownPhoto(pictures, small) {
  const image = layer(pictures.file, "inset: 0", "photo");
  const giveUp = () => image.replaceWith(...small);
  image.onerror = giveUp;
  image.onload = () => {
    if (image.naturalWidth !== pictures.size[0] || image.naturalHeight !== pictures.size[1]) giveUp();
  };
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
