"use strict";
/* Shared by all pages: elements, packed data, images. */

const byId = (id) => document.getElementById(id);

/** An element with attributes and listeners. Children are nodes or text; text never becomes markup. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** Undo `pack` of webpage.py. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

/** The image with this hash: from inside the page, else from `folder`; a placeholder where it is missing. */
function picture(sha256, folder, alt) {
  const inside = byId(`image-${sha256}`);
  const address = `${folder}/${encodeURIComponent(sha256)}.png`;
  const image = h("img", { loading: "lazy", decoding: "async", alt });
  image.addEventListener("load", () => image.classList.toggle("pixels", image.naturalWidth <= 256));
  image.addEventListener("error", () => {
    const missing = h("span", { class: "missing", role: "img", "aria-label": `${alt}: image missing` });
    missing.append("image missing", h("small", null, decodeURIComponent(address)));
    image.replaceWith(missing);
  });
  image.src = inside ? `data:image/png;base64,${inside.textContent}` : address;
  return image;
}
