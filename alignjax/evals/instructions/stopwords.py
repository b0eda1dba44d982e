"""The commonest small words of languages that share their script."""

# About forty each: a longer list would win by its length.
STOPWORDS = {
  "en": """the of and to in is that for it with as was on are be this by have
    from or an not but at they you we his her which she he will can their has my
    your i would""",
  "es": """el la de que y en los un por con no una es su para se del las al lo
    como más pero sus este ha me si porque esta son entre cuando muy sin sobre
    también hay tu yo""",
  "pt": """o a de que e do da em um para com não uma os no se na por mais as
    dos como mas ao ele das à seu sua ou quando muito também pelo pela isso é
    são você eu""",
  "fr": """le la les de des et est un une du en que qui dans pour pas il sur
    au ce plus par avec je se ne son sont vous nous à ou mais cette aux l d c n
    elle""",
  "de": """der die und das ist ich nicht sie es ein zu in den mit von auf dem
    für eine im auch sich wir er als an wie werden oder aus sind haben wird bei
    nach einer um am des wenn""",
  "it": """il di che e la un per non è in una sono del con i della le si da al
    gli come più nel anche lo ma delle alla dei questo ha nella l mi su ti o
    cosa questa""",
  "pl": """i w na z się nie do to jest że jak o za po co dla od są przez jego
    ale czy był tym tak tego które który jej może oraz być ze lub pod już jako
    przy gdy""",
  "vi": """và của là có không được cho một trong các những với này đã để người
    khi như từ ở về ra sẽ thì nhưng nếu bạn tôi vào đến theo cũng còn nhiều hơn
    hoặc việc bằng đó trên""",
  "fi": """ja on ei se että oli hän ovat mutta tai joka kun niin kuin olla
    myös sen voi tämä ne mitä jos sitä sinun minun kanssa siitä vain nyt ole
    hyvin jotka olen olet tämän kuten sekä ennen he""",
  "sw": """na ya wa kwa ni katika za la cha kuwa hii huo yake wake au pia kama
    lakini hiyo hayo ambayo ili vya yao yako sana kila hivyo bila mimi wewe
    ambao hilo baada watu moja zaidi hadi huu""",
  "ru": """и в не на что я с он как это по но к из у за то же от так о для мы
    вы его было или если бы только все её они быть чтобы когда при может также
    который""",
  "uk": """і в не на що з як це до та у я за по але від ми ви він його для так
    або якщо був було їх про вони є бути щоб коли ще при може також які який""",
  "bg": """и на да в се не за с от е са като че по си това но ще или които
    който до има ако през може бъде след най във със той тя те ние вие му ги
    аз""",
  "hi": """के में की है और से को का हैं कि यह पर इस एक ने नहीं हो भी लिए कर था
    तो ही जो कुछ आप हम वह थे अपने साथ या तक जब थी करने अपनी बहुत होता मैं""",
  "mr": """आहे आणि च्या मध्ये या ते हे ही तो व नाही की आहेत एक होते केले तर मी
    साठी पण काही असे त्या होता करून म्हणून हा किंवा त्यांच्या आपल्या आपण असते
    असतात होती केली जर खूप करा झाले""",
  "ne": """छ र को मा हो लाई का पनि यो गर्न छन् एक भएको ले गरेको तथा वा त थियो
    गर्ने हुन्छ छैन म तपाईं यस त्यो हुने गर्नुहोस् अनि गरी भने सबै हामी आफ्नो
    उनी लागि धेरै साथै यी""",
  "ar": """في من على أن إلى هذا هذه عن التي الذي مع كان لا ما هو هي أو كل بعد
    ذلك قد بين لم كما عند إذا كانت حيث ولا يمكن لكن خلال وقد حتى ليس غير أنا نحن
    تم أي""",
  "fa": """و در به از که این را با است برای آن یک خود تا می هم بر شما من کرد
    های بود شود ما اما یا هر اگر باید کند ها نیز شده هستند بین دارد او آنها کنید
    نمی""",
  "ur": """کے میں کی ہے اور سے کو کا ہیں کہ یہ پر اس ایک نے نہیں ہو بھی لیے کر
    تھا تو ہی جو کچھ آپ ہم وہ تھے اپنے ساتھ یا تک جب تھی کرنے بہت جا ہوتا ان""",
}
