"""What a generated world is named from: parts of personal, place and work names, by language.

Names come about by combination, so that nearly none is anybody's. Data only.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tongue:
    """Name parts of a language area. `surnames`, `towns`, `foreign`: beginnings and endings;
    `countries`: (country, adjective, its large cities)."""

    men: tuple[str, ...]
    women: tuple[str, ...]
    surnames: tuple[tuple[str, ...], tuple[str, ...]]
    towns: tuple[tuple[str, ...], tuple[str, ...]]
    countries: tuple[tuple[str, str, tuple[str, ...]], ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _tongue(men: str, women: str, surnames: str, towns: str, *countries: str) -> Tongue:
    def pair(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        first, second = text.split("/")
        return tuple(first.split()), tuple(second.split())

    def country(text: str) -> tuple[str, str, tuple[str, ...]]:
        name, adjective, cities = (part.strip() for part in text.split("/"))
        return name, adjective, tuple(cities.split(", "))

    return Tongue(
        tuple(men.split()),
        tuple(women.split()),
        pair(surnames),
        pair(towns),
        tuple(map(country, countries)),
    )


TONGUES = (
    _tongue(
        "Albert Alfred Arthur Basil Clarence Clifford Cyril Donald Edgar Edmund Ernest Eugene "
        "Frank Gilbert Harold Herbert Horace Hugh Jack Leonard Lionel Lloyd Malcolm Norman Owen "
        "Percy Ralph Reginald Roy Rupert Sidney Stanley Victor Wallace Walter Wilfred Glenn Keith",
        "Ada Agnes Alice Beatrice Clara Constance Daisy Doris Edith Eleanor Elsie Ethel Florence "
        "Gladys Grace Harriet Hazel Ida Irene Ivy Lillian Lucy Mabel Marjorie Mildred Muriel Nora "
        "Olive Pearl Phyllis Rosalind Sylvia Vera Violet Winifred Joyce Gwen Peggy",
        "Ash Brack Crans Dunt Ellers Fair Garth Hales Inch Kes Lamb Marl Nether Oaks Pemb Quarr "
        "Rad Stan Thorn Ulver Wend Yar Hob Tarle/bury ley ton worth well by ford den low stead "
        "croft wick combe shaw more field mere hurst",
        "Alder Bram Cold Dun Elm Fern Grey Hollow Iron Kings Long Mill North Otter Pine Quarry "
        "Red Stone Thistle Under Wil West/bourne brook bridge dale field ford gate ham haven hill "
        "mouth port side ton vale wick",
        "United States / American / New York City, Chicago, Los Angeles, Boston, Philadelphia, "
        "San Francisco, Cleveland, Detroit, Baltimore, Seattle",
        "United Kingdom / British / London, Manchester, Birmingham, Glasgow, Edinburgh, Leeds",
        "England / English / London, Bristol, Liverpool, Nottingham, Brighton, Oxford",
        "Canada / Canadian / Toronto, Montreal, Vancouver, Winnipeg, Halifax",
        "Australia / Australian / Sydney, Melbourne, Brisbane, Perth, Adelaide",
        "Ireland / Irish / Dublin, Cork, Limerick, Galway",
    ),
    _tongue(
        "Achille Adrien Alain Antoine Armand Bernard Camille Claude Didier Emile Etienne Fabrice "
        "Gaston Gilles Hector Henri Jacques Jules Laurent Leon Luc Marcel Maurice Noel Pascal "
        "Philippe Raoul Rene Serge Thierry Yves",
        "Adele Agathe Blanche Celeste Chantal Colette Denise Elise Estelle Eugenie Francoise "
        "Genevieve Helene Jeanne Josette Louise Lucienne Madeleine Margot Mireille Nathalie Odette "
        "Pauline Simone Solange Suzanne Therese Yvonne",
        "Beau Cour Dela Fonte Gau Ler Mont Per Quin Rou Sau Tour Val Ver Chauv Bri Lam "
        "Marc/bert celle champ dier ette fort lard lier mond nay ney quet rel rin sac thier ville",
        "Aub Beau Chante Clair Dom Fon Grand Haute Lan Mar Mont Neuf Puy Roche Saint-Ver "
        "Vill/ac champs court euil gny gues lieu loup mont naye pierre recourt val vière ville",
        "France / French / Paris, Lyon, Marseille, Bordeaux, Toulouse, Lille, Nantes",
        "Belgium / Belgian / Brussels, Antwerp, Ghent, Liège",
        "Switzerland / Swiss / Geneva, Lausanne, Zürich, Basel",
    ),
    _tongue(
        "Adolf Albrecht August Bernhard Bruno Dieter Eberhard Emil Erich Ernst Franz Friedrich "
        "Georg Gerhard Gustav Hans Heinrich Helmut Hermann Horst Karl Klaus Konrad Kurt Ludwig "
        "Manfred Otto Paul Rainer Rolf Rudolf Siegfried Theodor Ulrich Werner Wilhelm",
        "Adelheid Anna Berta Brigitte Charlotte Christa Dora Elfriede Elisabeth Emma Erika Frieda "
        "Gerda Gertrud Greta Hedwig Helga Hildegard Ilse Ingeborg Johanna Karoline Käthe Lotte "
        "Luise Margarete Marlene Mathilde Ottilie Sophie Ursula Wilhelmine",
        "Alt Berg Brand Dorn Eber Falk Grun Hart Her Kalt Klein Lang Lind Mittel Neu Ober Rein "
        "Sand Schön Stein Wald Winter/acher auer bach berger burg egger feld haus heimer hofer "
        "kamp mann meier rath stein thal wig",
        "Alten Birken Dachs Eich Falken Gries Hohen Kirch Lauter Mühl Neuen Ober Rotten Stein "
        "Tannen Unter Wald Wolfs/au bach berg bronn brück burg dorf eck feld furt hausen heim "
        "kirchen rode stadt stetten tal",
        "Germany / German / Berlin, Munich, Hamburg, Cologne, Dresden, Leipzig, Frankfurt",
        "Austria / Austrian / Vienna, Graz, Salzburg, Linz, Innsbruck",
    ),
    _tongue(
        "Alberto Aldo Amedeo Angelo Armando Bruno Carlo Cesare Dario Dino Edoardo Ettore Fausto "
        "Giacomo Gino Giorgio Guido Ivo Lamberto Luca Luigi Marcello Mario Nino Oreste Paolo Piero "
        "Renato Sandro Sergio Silvio Ugo Vito",
        "Ada Adriana Alba Amalia Antonella Bianca Carla Caterina Cecilia Dina Elena Elvira Emma "
        "Fiorella Franca Gemma Giulia Ines Laura Lidia Lucia Marisa Nella Norma Ornella Paola "
        "Renata Rosa Silvana Tina Valeria",
        "Alber Barto Bel Cam Cast Del Ferr Gal Lom Mar Mont Pell Ron San Tor Val Ver Zan/acci ani "
        "ardi azzi elli eri etti gnoli ini ito lini none ossi ucci uzzi vani zetti",
        "Acqua Borgo Castel Civi Fonte Gra Mira Monte Olive Pietra Ponte Rocca San Sasso Torre "
        "Valle/bella chiara fiorita franca lunga marina mola nera nuovo piana ravo rossa secca "
        "tella varo verde",
        "Italy / Italian / Rome, Milan, Naples, Turin, Florence, Bologna, Genoa",
    ),
    _tongue(
        "Agustín Alejandro Alfonso Andrés Arturo Benito Carlos César Diego Eduardo Emilio Enrique "
        "Esteban Felipe Fermín Gonzalo Héctor Ignacio Jaime Joaquín Julio Leandro Luis Manuel "
        "Mateo Pablo Rafael Ramón Raúl Roberto Salvador Tomás Vicente",
        "Adela Alicia Amparo Ana Beatriz Blanca Carmen Catalina Clara Consuelo Dolores Elena "
        "Esperanza Estela Gloria Graciela Inés Isabel Josefina Juana Leonor Lola Lucía Luisa "
        "Manuela Mercedes Pilar Rosario Soledad Teresa",
        "Al Ara Bena Cal Car Cor Esco Fon Gal Her Laran Mal Mon Olm Pal Que Rob Sal Ter Var "
        "Zam/barez bello casa dero dino edo ejo era ero eta illo mayor mora navar onda quez rado "
        "riaga tero vides",
        "Agua Alta Bella Campo Cerro Fuente Guada Las Palm Llano Monte Ojo Peña Puerto Río Santa "
        "Sierra Torre Valle/ alba ar blanca calva del hermoso fría ira lar lindo manca mira nueva "
        "orte quema ral rica seca vera",
        "Spain / Spanish / Madrid, Barcelona, Seville, Valencia, Bilbao, Granada",
        "Mexico / Mexican / Mexico City, Guadalajara, Monterrey, Puebla, Veracruz",
        "Argentina / Argentine / Buenos Aires, Rosario, Córdoba, Mendoza",
        "Brazil / Brazilian / Rio de Janeiro, São Paulo, Salvador, Recife, Porto Alegre",
    ),
    _tongue(
        "Aksel Anders Arne Arvid Axel Bengt Birger Bjarne Carl Edvard Einar Erik Finn Fredrik "
        "Gunnar Gösta Hakon Halvor Harald Henrik Holger Ivar Jens Johan Kaj Lars Magnus Nils Olaf "
        "Ole Oskar Poul Rolf Sigurd Sten Sven Tage Thorvald",
        "Agda Alma Anna Astrid Birgit Bodil Dagmar Ebba Elin Ellen Elsa Esther Frida Gerda Gro "
        "Gudrun Gunvor Hanna Helga Hilda Inga Ingrid Karin Kirsten Liv Maj Maren Märta Ragnhild "
        "Signe Sigrid Solveig Thora Tove Ulla",
        "Ahl Berg Björn Dal Ek Fager Gran Hammar Hed Kjell Lager Lind Mos Norr Ny Odd Rosen Sand "
        "Ström Sund Tor Wik/berg blad borg by dahl fors gaard gren holm hus kvist lund mark quist "
        "rud sen sson stad ström vall",
        "Bjerk Brek Eid Elg Fager Gran Haug Høy Kirke Lille Lund Nor Sand Skog Stor Sund Tjern "
        "Ul Vik/a berg borg by dal fjord gård havn holm hult mark næs rud rup sele stad torp um "
        "vik ås",
        "Sweden / Swedish / Stockholm, Gothenburg, Malmö, Uppsala",
        "Norway / Norwegian / Oslo, Bergen, Trondheim, Stavanger",
        "Denmark / Danish / Copenhagen, Aarhus, Odense, Aalborg",
        "Finland / Finnish / Helsinki, Turku, Tampere",
    ),
    _tongue(
        "Aleksander Andrei Anton Boris Bogdan Dmitri Dušan Emil Feliks Fyodor Grigori Igor Ivan "
        "Jan Janusz Jerzy Josef Kazimierz Konstantin Leonid Ludvik Marek Mikhail Miloš Nikolai "
        "Oleg Pavel Petr Roman Sergei Stanislav Stefan Tadeusz Viktor Vladimir Václav Yuri Zoltán",
        "Agnieszka Alla Anna Barbara Bożena Daria Ekaterina Elena Elżbieta Galina Halina Irena "
        "Irina Jadwiga Jana Krystyna Larisa Ludmila Lydia Magda Maria Marina Milena Nadezhda "
        "Natalia Nina Olga Raisa Sofia Svetlana Tamara Tatiana Valentina Vera Zofia",
        "Bara Bel Boro Chern Dob Drag Gor Gren Hor Kal Kov Kras Luk Mal Mor Nov Ost Pod Rad Sav "
        "Sokol Stan Tar Vasil Vol Zar Zel/aczek anov ar avsky czyk ek enko evich in ić kin lik "
        "man nik ov owski sky tov ák ský",
        "Bel Boro Bystr Chelm Dob Gor Jas Kamen Kras Lip Mok Nov Ostr Pod Rud Sos Star Tarn Vel "
        "Vish Zab/anka any ava brod ec evo gorod grad ice in ino nica nik no ogorsk ov owice sk "
        "tsy yn",
        "Russia / Russian / Moscow, Saint Petersburg, Kazan, Novosibirsk",
        "Soviet Union / Soviet / Moscow, Leningrad, Kiev, Odessa, Tbilisi",
        "Poland / Polish / Warsaw, Kraków, Łódź, Poznań, Lwów",
        "Czech Republic / Czech / Prague, Brno, Ostrava, Plzeň",
        "Hungary / Hungarian / Budapest, Debrecen, Szeged",
        "Serbia / Serbian / Belgrade, Novi Sad, Niš",
    ),
    _tongue(
        "Ajay Anand Arun Ashok Balan Bharat Chandran Deepak Dinesh Ganesh Girish Hari Jagdish "
        "Kamal Kiran Krishna Lalit Madhu Mahesh Manoj Mohan Murali Naresh Prakash Prem Rajan "
        "Ramesh Ravi Sanjay Shankar Sridhar Suresh Vasu Venkat Vijay",
        "Amala Anjali Aparna Asha Bhavana Chitra Deepa Devika Gauri Geetha Hema Indira Jaya "
        "Kavita Lakshmi Lalitha Leela Madhavi Meena Nalini Padma Parvati Radha Rekha Revathi "
        "Rohini Sarala Savitri Shobha Sita Sudha Sumati Usha Vani",
        "Adi Bala Bhatt Chandra Das Deva Gopa Jaya Kri Lak Maha Mani Nara Pad Pura Raja Rama Sada "
        "Shiva Subra Surya Venka Vira/charya dran gar hari kar lan manna mohan murthy nath nayan "
        "pati raju ran sekhar shan swamy varma yya",
        "Amba Bala Bhima Chan Dhar Gunta Hari Kada Kanchi Lal Mala Nara Pala Rama Siva Tiru Udaya "
        "Vala/bad da garh gudi kottai kulam mangal nagar nur palli pet pur puzha ram sara uru vadi "
        "wada",
        "India / Indian / Mumbai, Chennai, Kolkata, Hyderabad, Delhi, Bangalore, Madras, Bombay",
    ),
    _tongue(
        "Akira Daisuke Eiji Fumio Goro Haruki Hideo Hiroshi Ichiro Isamu Jiro Kaneto Kazuo "
        "Kenji Kinji Koji Makoto Masaki Minoru Nobuo Osamu Ryo Saburo Satoshi Seijun Shigeru "
        "Shohei Susumu Tadashi Takeshi Toru Yasujiro Yoshio Yutaka",
        "Aiko Akiko Ayako Chieko Chiyo Emiko Fumiko Hanako Haruko Hideko Hisako Junko Kazuko Keiko "
        "Kimiko Kinuyo Kyoko Machiko Mariko Michiko Misako Mitsuko Nobuko Reiko Sachiko Setsuko "
        "Shizue Sumiko Tomoko Yoko Yoshiko Yukiko",
        "Aka Ao Arai Fuji Haya Hira Ichi Ishi Iwa Kata Kawa Kita Kuro Matsu Mina Mori Naka Nishi "
        "Oka Saka Shima Taka Uchi Yama/bashi be da gawa guchi hara hashi jima kawa ki kubo mori "
        "moto mura no saki se shita ta uchi ya zaki",
        "Aka Ao Fuku Hama Hira Ishi Iwa Kami Kita Kuma Matsu Mino Naga Nishi Oka Shira Taka Toyo "
        "Waka Yoko/be da gata hama hara kawa matsu mine mori moto oka saki sawa shima ura yama zu",
        "Japan / Japanese / Tokyo, Osaka, Kyoto, Kobe, Nagoya, Yokohama",
    ),
    _tongue(
        "Adebayo Amadou Babatunde Chidi Chinedu Emeka Femi Idrissa Ifeanyi Ismail Kofi Kwabena "
        "Kwame Mamadou Moussa Ngozi Nnamdi Obi Okechukwu Ola Oumar Segun Sekou Souleymane Tunde "
        "Uche Yaw Yusuf",
        "Abena Adaeze Adwoa Aissata Akosua Ama Aminata Awa Chioma Efua Esi Fatou Fatoumata Folake "
        "Funmi Ifeoma Kadiatou Mariama Nkechi Ngozika Oluchi Ramatou Safiatou Yetunde",
        "Ade Aki Ama Asa Bala Chuk Dia Eze Fal Gya Ibe Kon Man Nwa Obi Ola Osei Sow Taiwo Tra/bi "
        "bayo cho dele fodio gbe jo kor kwu lade made mensah nda ore oti sanya tola wale wu yemi",
        "Aba Adi Bama Dago Ebu Fara Gomo Iba Kado Kuma Lagu Mbo Ngoro Oba Osho Saki Tamba Udo "
        "Wa/bo da dougou fe gari go kro ku la mi ndi ni ro si so te wa zo",
        "Nigeria / Nigerian / Lagos, Ibadan, Kano, Enugu",
        "Ghana / Ghanaian / Accra, Kumasi, Tamale",
        "Senegal / Senegalese / Dakar, Thiès, Saint-Louis",
    ),
    _tongue(
        "Ahmet Ali Amir Bahram Behzad Cem Dariush Ebrahim Ertem Fereydoun Hakan Halit Hamid Hasan "
        "Hossein Kamran Kemal Lütfi Mahmoud Mehmet Metin Mustafa Nasser Nuri Orhan Osman Parviz "
        "Reza Samad Selim Turgut Yavuz Yılmaz Zeki",
        "Afsaneh Ayşe Azar Belgin Cahide Emine Fatma Feride Filiz Forough Golnar Gülşen Hale Hülya "
        "Leyla Mahin Maryam Müjde Nermin Nesrin Parvin Perihan Roya Semra Shirin Sima Türkan Zahra "
        "Zeynep",
        "Ak Altın Bahra Bay Demir Erd Far Gol Güne Hosse Kara Kaz Kir Mehr Naz Ok Öz Pour Rah Sam "
        "Sar Tab Taş Yıl Zan/abadi an bey can dağ dar doğan er han ian kan lar maz nejad oğlu pour "
        "soy tan tay tekin yan zade",
        "Ak Ala Bahar Dere Elma Gök Gül Kara Kırk Kum Mehr Narin Oba Sar Taş Yeni Zar/abad bağ "
        "bük çay dağ deh göl hisar kent köy lı ova pınar rud su tepe van yurt",
        "Turkey / Turkish / Istanbul, Ankara, İzmir, Adana",
        "Iran / Iranian / Tehran, Isfahan, Shiraz, Tabriz",
        "Egypt / Egyptian / Cairo, Alexandria, Giza",
    ),
    _tongue(
        "Bao Bin Chao Cheng Chi-wai Chun De Fai Feng Gang Guo Hao Hong Hua Jian Jun Kai Kar-wing "
        "Kin-ming Lei Liang Ming Ning Peng Ping Qiang Rong Shan Sheng Tak-sang Tao Wai-man Wei Wen "
        "Xiang Yi Yong Zhen Zhi",
        "Ah-mei Ai Bing Chun-yu Dan Fang Fen Hong-ying Hui Jia Jing Juan Lan Lai-fong Li-hua Lin "
        "Mei Mei-ling Min Na Ping-ting Qing Rui Shu Suet Ting Xia Xiu Xue Yan Ying Yu-lan Yuk Yun "
        "Zhi-lan",
        "Ba Ce Da Fe Gua Ha Jia Ke La Lua Me Nia Pa Qi Re Sa Sho Ta Wa Xi Ye Zha/i n ng o u",
        "An Bei Chang Dong Fu Gao Hai Hong Jin Lin Ming Nan Ping Qing Shan Tai Wu Xin Yong "
        "Zhong/bao chang cheng feng gang hai he jiang kou lin ling nan ping shan shui tang xi yang "
        "yuan zhou",
        "China / Chinese / Shanghai, Beijing, Guangzhou, Tianjin, Nanjing",
        "Hong Kong / Hong Kong / Hong Kong, Kowloon",
        "Taiwan / Taiwanese / Taipei, Tainan, Kaohsiung",
    ),
)
"""Name parts by language area."""

ADJECTIVES = _words(
    "Amber Ancient Bitter Black Blind Blue Bold Borrowed Brave Bright Broken Burning Careless "
    "Cold Crimson Crooked Cruel Crystal Dangerous Dark Distant Double Drowsy Empty Endless Eternal "
    "Faithful Fallen False Fearless Final First Forgotten Foolish Frozen Gentle Gilded Golden "
    "Hidden Hollow Honest Idle Iron Jealous Last Laughing Little Lonely Lost Merry Midnight "
    "Naked Narrow Noble Painted Pale Paper Perfect Phantom Plain Quiet Reckless Restless Ruined "
    "Sacred Scarlet Second Secret Seventh Shattered Silent Silver Simple Sleeping Stolen Strange "
    "Sudden Sunken Sweet Tender Third Timid Uncertain Velvet Wandering Wayward White Wicked Wild "
    "Winter Wooden Yellow Young"
)
NOUNS = _words(
    "Affair Alibi Angel Anchor Bandit Bargain Bell Bird Blade Border Bride Bridge Brother Carnival "
    "Castle Century Champion Circle City Clue Colonel Comet Confession Corner Country Crown Cure "
    "Dancer Daughter Dawn Debt Desert Detective Diamond Doctor Dream Duel Echo Empire Enemy Escape "
    "Evening Farmer Father Fire Flame Flower Forest Fortune Fugitive Gambler Garden Ghost Gift "
    "Guest Harbor Harvest Heart Heir Hill Holiday Honeymoon Horizon Hotel Hour House Hunter Island "
    "Journey Judge Key Kingdom Ladder Lady Lantern Letter Lie Lighthouse Lover Mask Melody Memory "
    "Miracle Mirror Moon Morning Mountain Music Night Ocean Orchard Orphan Outlaw Passenger Path "
    "Pirate Planet Promise Prophet Quarry Rain Ranger Return Rider River Road Rose Sailor Scandal "
    "Season Secret Sergeant Shadow Ship Shore Sister Snow Soldier Song Spring Station Stranger "
    "Summer Sun Teacher Thief Thunder Tiger Tower Trail Train Treasure Valley Verdict Village "
    "Voice Voyage Wedding Whisper Widow Wind Window Witness Wolf Woman World Year"
)
GERUNDS = _words(
    "Answering Becoming Breaking Calling Catching Chasing Counting Crossing Dreaming Facing "
    "Finding Following Forgetting Hunting Keeping Killing Leaving Losing Loving Marrying Meeting "
    "Remembering Saving Seeking Stealing Teaching Trusting Waiting Walking Watching"
)
